package registry

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

// RedisRegistryConfig configures the Redis registry.
type RedisRegistryConfig struct {
	// RedisAddr is the Redis server address (host:port; the port defaults to 6379).
	// Default: localhost:6379, unless Addrs or Client is set.
	RedisAddr string

	// Password is the Redis password (optional).
	Password string

	// DB is the Redis database number. Default: 0. Must be 0 on a Cluster.
	DB int

	// TTL is the time-to-live for service registrations.
	// Services must send heartbeats more frequently than this to stay registered.
	// Default: 30 seconds. At least MinTTL, at most MaxTTL.
	TTL time.Duration

	// HeartbeatInterval is how often to send heartbeat updates.
	// Should be less than TTL to prevent expiration.
	// Default: 10 seconds, or a third of the TTL, whichever is less. At least
	// MinHeartbeatInterval and less than TTL. With fewer than three heartbeats per TTL
	// a warning is logged.
	HeartbeatInterval time.Duration

	// Addrs are addresses (host:port) of nodes of a Redis Cluster or, with
	// MasterName, of the Sentinels. One entry is enough for a Cluster: the other nodes
	// are found through it. Ports default to 6379, those of Sentinels to 26379.
	// RedisAddr, if set, is added to them.
	Addrs []string

	// MasterName is the Sentinels' name of the primary. If it is set, Addrs are the
	// Sentinels' addresses.
	MasterName string

	// SentinelUsername and SentinelPassword authenticate to the Sentinels (optional).
	SentinelUsername string
	SentinelPassword string

	// Username is the Redis ACL user (optional; empty is Redis's default user).
	Username string

	// Credentials, if set, returns the ACL user and the password of every new
	// connection to Redis; Username and Password must then be unset. Use it for
	// credentials that change: open connections keep those with which they were made.
	// An error fails the connection, and the next one asks again; it must not contain a
	// secret. Calls may be concurrent. They must return when ctx ends, after a second
	// at the latest, so a slow source of tokens is best asked in the background.
	// The Sentinels' password is not affected.
	Credentials func(ctx context.Context) (username, password string, err error)

	// TLSConfig, if set, makes every connection use TLS. It is cloned. Set its
	// GetClientCertificate for a client certificate that changes.
	TLSConfig *tls.Config

	// Namespace separates environments on one server: registries of different
	// namespaces do not see each other's instances. Default: "default". At most
	// MaxNamespaceBytes bytes.
	Namespace string

	// Name is how events show this registry, in Event.By. Default: program, host and
	// process ID, as "api@web-7 pid 3121". At most MaxNameBytes bytes.
	Name string

	// Logger receives state changes. Default: slog.Default().
	Logger *slog.Logger

	// Client, if set, is used instead of the library's own connections, and never
	// closed. RedisAddr, Addrs, MasterName, the credentials, DB and TLSConfig must
	// then be unset. A client that reads from replicas is refused. A *redis.Client is
	// used with ContextTimeoutEnabled and without its own retries. A
	// *redis.ClusterClient should have ContextTimeoutEnabled set and MaxRetries -1,
	// or a lost request delays heartbeats for its ReadTimeout.
	Client redis.UniversalClient

	// Observer receives what the registry does (optional).
	Observer *Observer

	files urlFiles // set by ParseURL
	// dialTCP makes connections for programs of this module that cut them.
	dialTCP func(ctx context.Context, addr string) (*net.TCPConn, error)
}

// Limits and defaults of a RedisRegistryConfig.
const (
	MinTTL               = 100 * time.Millisecond
	MaxTTL               = 24 * time.Hour
	MinHeartbeatInterval = 10 * time.Millisecond
	MaxNamespaceBytes    = 128

	// DefaultTTL and DefaultHeartbeatInterval replace unset values.
	DefaultTTL               = 30 * time.Second
	DefaultHeartbeatInterval = 10 * time.Second
	// DefaultNamespace replaces an unset Namespace.
	DefaultNamespace = "default"
)

const (
	defaultRedisPort    = "6379"
	defaultSentinelPort = "26379"
)

// withDefaults returns c with its unset fields filled in and its addresses
// complete. RedisAddr is set for a standalone server only, Addrs for a Cluster
// or Sentinels only, and neither for a Client. The result shares nothing
// changeable with c.
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
	if c.Name == "" {
		c.Name = processName()
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

// withPort completes an address: the default port is port, the default host
// localhost. Anything that is not an address is returned unchanged.
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

// validate returns an error about the first field that is not acceptable. The
// defaults must be filled in.
func (c RedisRegistryConfig) validate() error {
	if err := c.validateTimes(); err != nil {
		return err
	}
	if problem := textProblem(c.Namespace, MaxNamespaceBytes); problem != "" {
		return invalidConfig("Namespace", problem)
	}
	if problem := textProblem(c.Name, MaxNameBytes); problem != "" {
		return invalidConfig("Name", problem)
	}
	if c.Client != nil {
		return c.validateClient()
	}
	return c.validateServer()
}

func (c RedisRegistryConfig) validateTimes() error {
	switch {
	case c.TTL < MinTTL:
		return invalidConfig("TTL", fmt.Sprintf("%v is less than the minimum of %v", c.TTL, MinTTL))
	case c.TTL > MaxTTL:
		return invalidConfig("TTL", fmt.Sprintf("%v is more than the maximum of %v", c.TTL, MaxTTL))
	case c.HeartbeatInterval < MinHeartbeatInterval:
		return invalidConfig("HeartbeatInterval",
			fmt.Sprintf("%v is less than the minimum of %v", c.HeartbeatInterval, MinHeartbeatInterval))
	case c.HeartbeatInterval >= c.TTL:
		return invalidConfig("HeartbeatInterval",
			fmt.Sprintf("%v is not less than the TTL of %v; use a third of the TTL or less", c.HeartbeatInterval, c.TTL))
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
		{"Credentials", c.Credentials != nil},
	} {
		if f.set {
			return invalidConfig(f.name, "must be unset when Client is set: the client has its own")
		}
	}
	if err := redisclient.CheckUsable(c.Client); err != nil {
		return invalidConfig("Client", err.Error())
	}
	return nil
}

func (c RedisRegistryConfig) validateServer() error {
	switch {
	case c.Credentials != nil && (c.Username != "" || c.Password != ""):
		return invalidConfig("Credentials", "replaces Username and Password, which must then be unset")
	case c.MasterName != "" && len(c.Addrs) == 0:
		return invalidConfig("MasterName", "needs the Sentinels' addresses in Addrs")
	case c.MasterName == "" && (c.SentinelUsername != "" || c.SentinelPassword != ""):
		return invalidConfig("MasterName", "is empty although credentials for Sentinels are set")
	case c.Username != "" && c.Password == "":
		return invalidConfig("Username", "needs a Password (any for a user with nopass)")
	case c.SentinelUsername != "" && c.SentinelPassword == "":
		return invalidConfig("SentinelUsername", "needs a SentinelPassword (any for a user with nopass)")
	case c.DB < 0:
		return invalidConfig("DB", fmt.Sprintf("%d is negative", c.DB))
	case c.DB != 0 && c.isCluster():
		return invalidConfig("DB", fmt.Sprintf("is %d, but a Cluster (several Addrs, or one without MasterName) has only 0", c.DB))
	}
	if problem := textProblem(c.MasterName, MaxNameBytes); problem != "" {
		return invalidConfig("MasterName", problem)
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

// isCluster reports whether c is for a Redis Cluster: Addrs has at least one address
// and they are not Sentinels.
func (c RedisRegistryConfig) isCluster() bool {
	return len(c.Addrs) > 0 && c.MasterName == ""
}

// validateAddr leaves the address out of its errors: it may be a misplaced URL with a
// password.
func validateAddr(field, addr string) error {
	if strings.Contains(addr, "://") {
		return invalidConfig(field, "must be host:port; use Open or ParseURL for a URL")
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "" || textProblem(host, MaxAddressBytes) != "" || strings.ContainsAny(host, " @/[]") {
		return invalidConfig(field, "must be host:port, with an IPv6 address in brackets")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return invalidConfig(field, "has a port outside 1-65535")
	}
	return nil
}

// warnings returns what is accepted but not recommended.
func (c RedisRegistryConfig) warnings() []string {
	if c.TTL < 3*c.HeartbeatInterval {
		return []string{fmt.Sprintf("a TTL of %v holds fewer than three heartbeats of %v: one or two late ones end a registration",
			c.TTL, c.HeartbeatInterval)}
	}
	return nil
}

// clientConfig returns how to reach the server, for a configuration without a Client.
func (c RedisRegistryConfig) clientConfig() redisclient.Config {
	credentials := c.Credentials
	if credentials == nil {
		credentials = c.files.password.credentials(c.Username, c.Password)
	}
	return redisclient.Config{
		Addr:                c.RedisAddr,
		Addrs:               slices.Clone(c.Addrs),
		MasterName:          c.MasterName,
		Username:            c.Username,
		Password:            c.Password,
		Credentials:         credentials,
		SentinelUsername:    c.SentinelUsername,
		SentinelPassword:    c.SentinelPassword,
		SentinelCredentials: c.files.sentinelPassword.credentials(c.SentinelUsername, c.SentinelPassword),
		DB:                  c.DB,
		TLS:                 c.TLSConfig,
		RefreshTLS:          c.files.refreshTLS,
		DialTCP:             c.dialTCP,
	}
}

func invalidConfig(field, problem string) error {
	return fmt.Errorf("%w: %s: %s", ErrInvalidConfig, field, problem)
}

// checkContext refuses a nil context: its first use would panic.
func checkContext(ctx context.Context) error {
	if ctx == nil {
		return invalidConfig("ctx", "is nil; use context.Background()")
	}
	return nil
}

// LogValue returns the fields that are set, without secrets, for slog.
func (c RedisRegistryConfig) LogValue() slog.Value {
	return slog.GroupValue(c.attrs()...)
}

// String returns the fields that are set, without secrets.
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

// GoString is String, so that %#v shows no secrets either.
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
	add(c.Credentials != nil, "Credentials", hidden)
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

// withoutUserinfo hides anything that is not host:port: it may be a URL with a password.
func withoutUserinfo(addr string) string {
	if strings.ContainsAny(addr, "@/") {
		return "[hidden: not host:port]"
	}
	return addr
}
