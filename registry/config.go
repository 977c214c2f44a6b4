package registry

import (
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
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
	// MinHeartbeatInterval and less than TTL; under three beats per TTL a warning is logged.
	HeartbeatInterval time.Duration

	// Addrs are several addresses (host:port): nodes of a Redis Cluster (even one
	// entry means a Cluster; the others are found through it) or, with
	// MasterName, the Sentinels. Ports default to 6379, those of Sentinels to
	// 26379. RedisAddr, when set too, is one more of them.
	Addrs []string

	// MasterName is the name under which the Sentinels know the primary.
	// Setting it makes Addrs the Sentinels' addresses.
	MasterName string

	// SentinelUsername and SentinelPassword authenticate to the Sentinels (optional).
	SentinelUsername string
	SentinelPassword string

	// Username is the Redis ACL user (optional; empty is Redis's default user).
	Username string

	// TLSConfig, when set, makes every connection use TLS. It is cloned.
	TLSConfig *tls.Config

	// Namespace keeps environments apart on one server: registries of different
	// namespaces never see each other. Default: "default". At most MaxNamespaceBytes bytes.
	Namespace string

	// Logger receives state changes. Default: slog.Default().
	Logger *slog.Logger

	// Client, when set, is used instead of connections of the library's own and
	// never closed. RedisAddr, Addrs, MasterName, the credentials, DB and
	// TLSConfig must then be unset. A client that reads from replicas is refused.
	// A *redis.Client is used with contexts that end requests and without retries of
	// its own. A *redis.ClusterClient should have ContextTimeoutEnabled and
	// MaxRetries -1, or a lost request holds up heartbeats for its ReadTimeout.
	Client redis.UniversalClient

	// Observer is told what the registry does (optional).
	Observer *Observer
}

// Limits of a RedisRegistryConfig.
const (
	MinTTL               = 100 * time.Millisecond
	MaxTTL               = 24 * time.Hour
	MinHeartbeatInterval = 10 * time.Millisecond
	MaxNamespaceBytes    = 128

	// DefaultTTL and DefaultHeartbeatInterval stand in for unset values.
	DefaultTTL               = 30 * time.Second
	DefaultHeartbeatInterval = 10 * time.Second
	// DefaultNamespace stands in for an unset Namespace.
	DefaultNamespace = "default"
)
