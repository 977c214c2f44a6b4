package registry

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

const (
	defaultRedisPort    = "6379"
	defaultSentinelPort = "26379"
)

// withDefaults returns c with its unset fields filled in and its addresses
// complete. RedisAddr is set for a standalone server only, Addrs for a Cluster
// or Sentinels only, neither for a Client. The result shares nothing with c
// that either may change.
func (c RedisRegistryConfig) withDefaults() RedisRegistryConfig {
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	if c.HeartbeatInterval == 0 {
		c.HeartbeatInterval = min(DefaultHeartbeatInterval, c.TTL/3)
	}
	if c.Namespace == "" {
		c.Namespace = DefaultNamespace
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.TLSConfig != nil {
		c.TLSConfig = c.TLSConfig.Clone()
	}
	if c.Client != nil {
		return c
	}

	port := defaultRedisPort
	if c.MasterName != "" {
		port = defaultSentinelPort
	}
	switch {
	case len(c.Addrs) > 0:
		addrs := make([]string, 0, len(c.Addrs)+1)
		for _, addr := range c.Addrs {
			addrs = append(addrs, withPort(addr, port))
		}
		if c.RedisAddr != "" {
			addrs = append(addrs, withPort(c.RedisAddr, port))
		}
		c.Addrs, c.RedisAddr = addrs, ""
	case c.RedisAddr != "":
		c.RedisAddr = withPort(c.RedisAddr, port)
	case c.MasterName == "":
		c.RedisAddr = net.JoinHostPort("localhost", defaultRedisPort)
	}
	return c
}

// withPort completes an address: without a port it gets the given one, without
// a host this machine. What is no address is returned as it is.
func withPort(addr, port string) string {
	if host, given, err := net.SplitHostPort(addr); err == nil {
		if host == "" && given != "" {
			return net.JoinHostPort("localhost", given)
		}
		return addr
	}
	bare := addr
	if inner, ok := strings.CutPrefix(bare, "["); ok {
		bare = strings.TrimSuffix(inner, "]")
	}
	if bare == "" || strings.Contains(bare, ":") && net.ParseIP(bare) == nil {
		return addr
	}
	return net.JoinHostPort(bare, port)
}

// validate reports the first field that is not acceptable. It expects the
// defaults to be filled in.
func (c RedisRegistryConfig) validate() error {
	if err := c.validateTimes(); err != nil {
		return err
	}
	if problem := textProblem(c.Namespace, MaxNamespaceBytes); problem != "" {
		return badConfig("Namespace", problem)
	}
	if c.Client != nil {
		return c.validateClient()
	}
	return c.validateServer()
}

func (c RedisRegistryConfig) validateTimes() error {
	switch {
	case c.TTL < MinTTL:
		return badConfig("TTL", fmt.Sprintf("%v is under the least of %v", c.TTL, MinTTL))
	case c.TTL > MaxTTL:
		return badConfig("TTL", fmt.Sprintf("%v is over the most of %v", c.TTL, MaxTTL))
	case c.HeartbeatInterval < MinHeartbeatInterval:
		return badConfig("HeartbeatInterval",
			fmt.Sprintf("%v is under the least of %v", c.HeartbeatInterval, MinHeartbeatInterval))
	case c.HeartbeatInterval >= c.TTL:
		return badConfig("HeartbeatInterval",
			fmt.Sprintf("%v is not under the TTL of %v; a third of it or less is safe", c.HeartbeatInterval, c.TTL))
	}
	return nil
}

func (c RedisRegistryConfig) validateClient() error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"RedisAddr", c.RedisAddr != ""},
		{"Addrs", len(c.Addrs) > 0},
		{"MasterName", c.MasterName != ""},
		{"Username", c.Username != ""},
		{"Password", c.Password != ""},
		{"SentinelUsername", c.SentinelUsername != ""},
		{"SentinelPassword", c.SentinelPassword != ""},
		{"DB", c.DB != 0},
		{"TLSConfig", c.TLSConfig != nil},
	} {
		if f.set {
			return badConfig(f.name, "must be unset when Client is set: the client has its own")
		}
	}
	if err := redisclient.CheckUsable(c.Client); err != nil {
		return badConfig("Client", err.Error())
	}
	return nil
}

func (c RedisRegistryConfig) validateServer() error {
	switch {
	case c.MasterName != "" && len(c.Addrs) == 0:
		return badConfig("MasterName", "needs the Sentinels' addresses in Addrs")
	case c.MasterName == "" && (c.SentinelUsername != "" || c.SentinelPassword != ""):
		return badConfig("MasterName", "is empty although credentials for Sentinels are set")
	case c.Username != "" && c.Password == "":
		return badConfig("Username", "needs a Password (any will do for a user with nopass)")
	case c.SentinelUsername != "" && c.SentinelPassword == "":
		return badConfig("SentinelUsername", "needs a SentinelPassword (any will do for a user with nopass)")
	case c.DB < 0:
		return badConfig("DB", fmt.Sprintf("%d is negative", c.DB))
	case c.DB != 0 && c.isCluster():
		return badConfig("DB", fmt.Sprintf("is %d, but a Cluster (several Addrs, or one without MasterName) has only 0", c.DB))
	}
	if problem := textProblem(c.MasterName, MaxNameBytes); problem != "" {
		return badConfig("MasterName", problem)
	}
	if len(c.Addrs) == 0 {
		return validateAddr("RedisAddr", c.RedisAddr)
	}
	for i, addr := range c.Addrs {
		if err := validateAddr(fmt.Sprintf("Addrs[%d]", i), addr); err != nil {
			return err
		}
	}
	return nil
}

// isCluster reports whether the addresses are those of a Redis Cluster: any in
// Addrs, even one, that are not Sentinels.
func (c RedisRegistryConfig) isCluster() bool {
	return len(c.Addrs) > 0 && c.MasterName == ""
}

// validateAddr leaves the address out of its errors: it may be a URL put in
// the wrong place, with a password inside.
func validateAddr(field, addr string) error {
	if strings.Contains(addr, "://") {
		return badConfig(field, "wants host:port; a URL is for Open or ParseURL")
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "" || textProblem(host, MaxAddressBytes) != "" || strings.ContainsAny(host, " @/[]") {
		return badConfig(field, "wants host:port, an IPv6 address in brackets")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return badConfig(field, "its port is outside 1-65535")
	}
	return nil
}

// warnings says what is allowed but unwise.
func (c RedisRegistryConfig) warnings() []string {
	if c.TTL < 3*c.HeartbeatInterval {
		return []string{fmt.Sprintf("a TTL of %v holds fewer than three heartbeats of %v: one or two late ones end a registration",
			c.TTL, c.HeartbeatInterval)}
	}
	return nil
}

// clientConfig says how to reach the server, for a configuration without a Client.
func (c RedisRegistryConfig) clientConfig() redisclient.Config {
	return redisclient.Config{
		Addr:             c.RedisAddr,
		Addrs:            slices.Clone(c.Addrs),
		MasterName:       c.MasterName,
		Username:         c.Username,
		Password:         c.Password,
		SentinelUsername: c.SentinelUsername,
		SentinelPassword: c.SentinelPassword,
		DB:               c.DB,
		TLS:              c.TLSConfig,
	}
}

func badConfig(field, problem string) error {
	return fmt.Errorf("%w: %s: %s", ErrInvalidConfig, field, problem)
}
