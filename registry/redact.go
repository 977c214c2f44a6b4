package registry

import (
	"fmt"
	"log/slog"
	"strings"
)

// LogValue describes the configuration for slog, with secrets left out.
func (c RedisRegistryConfig) LogValue() slog.Value {
	return slog.GroupValue(c.attrs()...)
}

// String describes the configuration, with secrets left out.
func (c RedisRegistryConfig) String() string {
	var b strings.Builder
	b.WriteString("RedisRegistryConfig{")
	for i, a := range c.attrs() {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(a.String())
	}
	b.WriteByte('}')
	return b.String()
}

// GoString is String: the %#v of a configuration shows no secrets either.
func (c RedisRegistryConfig) GoString() string { return c.String() }

// attrs are the fields that are set.
func (c RedisRegistryConfig) attrs() []slog.Attr {
	var attrs []slog.Attr
	add := func(set bool, name string, value any) {
		if set {
			attrs = append(attrs, slog.Any(name, value))
		}
	}
	const hidden = "[set]"
	add(c.RedisAddr != "", "RedisAddr", withoutUserinfo(c.RedisAddr))
	addrs := make([]string, len(c.Addrs))
	for i, addr := range c.Addrs {
		addrs[i] = withoutUserinfo(addr)
	}
	add(len(addrs) > 0, "Addrs", addrs)
	add(c.MasterName != "", "MasterName", c.MasterName)
	add(c.Username != "", "Username", c.Username)
	add(c.Password != "", "Password", hidden)
	add(c.SentinelUsername != "", "SentinelUsername", c.SentinelUsername)
	add(c.SentinelPassword != "", "SentinelPassword", hidden)
	add(c.DB != 0, "DB", c.DB)
	add(c.TTL != 0, "TTL", c.TTL)
	add(c.HeartbeatInterval != 0, "HeartbeatInterval", c.HeartbeatInterval)
	add(c.TLSConfig != nil, "TLSConfig", hidden)
	add(c.Namespace != "", "Namespace", c.Namespace)
	add(c.Client != nil, "Client", fmt.Sprintf("%T", c.Client))
	return attrs
}

// withoutUserinfo hides an address that is none: it may be a URL with a password.
func withoutUserinfo(addr string) string {
	if strings.ContainsAny(addr, "@/") {
		return "[hidden: not host:port]"
	}
	return addr
}
