package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
)

// Config configures a daemon. The zero value of each field but Backend and HTTP is
// usable.
type Config struct {
	Backend    string   // a URL of registry.Open
	HTTP       string   // host:port to listen on
	Node       string   // "" means the host's name
	NodeID     string   // a UUID; "" means one that is made from the name
	NodeMeta   []string // KEY=VALUE
	Datacenter string   // "" means dc1
	Advertise  string   // the address of the node; "" means that of the listener or of this host
	Version    string

	ReadTokens  string // file; a line is a token that may read
	WriteTokens string // file; a line is a token that may read and write
	TLSCert     string // file; with TLSKey, the listener speaks TLS
	TLSKey      string
	TLSClientCA string   // file; with it, clients need a certificate of this authority
	Insecure    bool     // listen off loopback without tokens and TLS
	AllowHosts  []string // names that may stand in the Host header, in addition to addresses and localhost
	CheckAllow  []string // CIDRs that checks may reach in addition to loopback

	Logger *slog.Logger // nil means slog.Default()
}

// checked is a Config that was validated.
type checked struct {
	Config
	prefixes []netip.Prefix
	meta     map[string]string
}

func (c Config) check() (*checked, error) {
	k := &checked{Config: c}
	if c.Backend == "" {
		return nil, errors.New("backend: give a URL such as local: or redis://localhost:6379")
	}
	host, _, err := net.SplitHostPort(c.HTTP)
	if err != nil {
		return nil, fmt.Errorf("http: %q is no host:port", c.HTTP)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return nil, errors.New("tls-cert and tls-key: give both or none")
	}
	if c.TLSClientCA != "" && c.TLSCert == "" {
		return nil, errors.New("tls-client-ca: needs tls-cert and tls-key")
	}
	if c.ReadTokens != "" && c.WriteTokens == "" {
		return nil, errors.New("read-tokens: needs write-tokens, or anyone could write")
	}
	for _, text := range c.CheckAllow {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("check-allow: %q is no CIDR such as 10.0.0.0/8", text)
		}
		k.prefixes = append(k.prefixes, p.Masked())
	}
	k.meta = make(map[string]string)
	for _, pair := range c.NodeMeta {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("node-meta: %q is no KEY=VALUE", pair)
		}
		k.meta[key] = value
	}
	if !isLoopback(host) && !c.Insecure {
		var missing []string
		if c.WriteTokens == "" && c.TLSClientCA == "" {
			missing = append(missing, "tokens (--write-tokens) or client certificates (--tls-client-ca)")
		}
		if c.TLSCert == "" {
			missing = append(missing, "TLS (--tls-cert, --tls-key)")
		}
		if len(missing) > 0 {
			return nil, fmt.Errorf("http: %s is not a loopback address: others could change the registry. Set %s, or listen on 127.0.0.1, or pass --insecure if the network is closed",
				c.HTTP, strings.Join(missing, " and "))
		}
	}
	if k.Datacenter == "" {
		k.Datacenter = "dc1"
	}
	if k.Logger == nil {
		k.Logger = slog.Default()
	}
	return k, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
