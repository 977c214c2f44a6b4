package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/bridge"
	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/redisstore"
)

// openTimeout bounds NewRedisRegistry's one call to the server.
const openTimeout = 5 * time.Second

// RedisRegistry implements Registry using Redis as the backend. It supports
// TTL-based health checking and automatic heartbeats to keep services alive in
// the registry.
//
// The first Register starts the registry's one heartbeat goroutine, which
// serves all its instances, and the first watch its one subscription. A registration
// that Redis loses is written again with the next heartbeat. It is a Backend and
// safe for concurrent use. The zero value is a closed registry.
type RedisRegistry struct{ coreBackend }

var _ Backend = (*RedisRegistry)(nil)

// NewRedisRegistry creates a new Redis-backed registry with automatic heartbeats.
//
// It contacts the server once, within ctx or 5 s, and fails with an error that
// matches ErrUnavailable if it cannot, or ErrInvalidConfig if cfg is not acceptable.
// ctx bounds this call only.
func NewRedisRegistry(ctx context.Context, cfg RedisRegistryConfig) (*RedisRegistry, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	for _, w := range cfg.warnings() {
		cfg.Logger.Warn(w)
	}
	storeConfig := redisstore.Config{
		Client: cfg.Client, Namespace: cfg.Namespace, Owner: newOwner(), Name: cfg.Name, HeartbeatInterval: cfg.HeartbeatInterval, Logger: cfg.Logger,
	}
	if cfg.Client == nil {
		client, err := redisclient.Dial(cfg.clientConfig())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
		}
		storeConfig.Client, storeConfig.CloseClient = client, client.Close
		storeConfig.RefreshPrimary = client.PrimaryRefresher()
	}
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	s, err := redisstore.Open(opening, storeConfig)
	if err != nil {
		if storeConfig.CloseClient != nil {
			_ = storeConfig.CloseClient()
		}
		return nil, openFailed(ctx, cfg, err)
	}
	return &RedisRegistry{coreBackend{newEngine(s, cfg.TTL, cfg.HeartbeatInterval, cfg.Logger, cfg.Observer)}}, nil
}

func init() {
	bridge.Dial = func(config any) (io.Closer, error) {
		cfg := config.(RedisRegistryConfig).withDefaults()
		if err := cfg.validate(); err != nil {
			return nil, err
		}
		return redisclient.Dial(cfg.clientConfig())
	}
	bridge.Open = func(ctx context.Context, config any, dial func(ctx context.Context, addr string) (*net.TCPConn, error)) (any, error) {
		cfg := config.(RedisRegistryConfig)
		cfg.dialTCP = dial
		return NewRedisRegistry(ctx, cfg)
	}
}

// openFailed returns the error of a failed first call to the server.
func openFailed(ctx context.Context, cfg RedisRegistryConfig, err error) error {
	if cfg.Client != nil && redis.HasErrorPrefix(err, "READONLY") {
		return invalidConfig("Client", "reads from a replica; use a client of the primary")
	}
	if !errors.Is(err, ErrUnavailable) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("open registry on %s: %w; %s", cfg.server(), err, openRemedy(err.Error()))
}

// openRemedy says what to do about an error of the first call to the server.
// It looks at the text, because an error of a Sentinel is part of another's.
func openRemedy(text string) string {
	for _, r := range [][2]string{
		{"WRONGPASS", "check the user and the password"},
		{"NOAUTH", "the server requires a password: set one"},
		{"NOPERM", "give the user the rights that docs/operating.md lists"},
		{"DB index is out of range", "choose a database that the server has, such as 0"},
		{"cluster support disabled", "use the address of a Redis Cluster, or a redis:// URL for one server"},
	} {
		if strings.Contains(text, r[0]) {
			return r[1]
		}
	}
	return "check that Redis runs there, and that the user has rights to it and to the keys of the namespace"
}

// server describes the server of a configuration.
func (c RedisRegistryConfig) server() string {
	switch addrs := strings.Join(c.Addrs, ", "); {
	case c.Client != nil:
		return "the given Client"
	case c.MasterName != "":
		return "Redis primary " + c.MasterName + " of the Sentinels at " + addrs
	case len(c.Addrs) > 0:
		return "the Redis Cluster at " + addrs
	}
	return "Redis at " + c.RedisAddr
}

// Register registers a service instance in Redis with TTL and starts a
// heartbeat goroutine: the first call starts the one that serves all of this
// registry's instances.
//
// It takes one round trip. A registration whose Register returned an error is not
// kept alive but may be visible for one TTL.
func (r *RedisRegistry) Register(ctx context.Context, service ServiceInfo) error {
	return r.coreBackend.Register(ctx, service)
}

// Deregister removes a service instance from Redis and stops its heartbeat.
// Once it has returned nil, only a new Register brings the instance back. The ID
// may be another process's: the owner then stops its heartbeat at the next one.
func (r *RedisRegistry) Deregister(ctx context.Context, serviceID string) error {
	return r.coreBackend.Deregister(ctx, serviceID)
}

// Discover returns all healthy instances of a service by name.
// Only returns services that haven't expired (TTL still valid).
//
// It returns what Redis holds at that moment, in one round trip if nothing changed
// since the last call and in two otherwise.
func (r *RedisRegistry) Discover(ctx context.Context, serviceName string) ([]ServiceInfo, error) {
	return r.coreBackend.Discover(ctx, serviceName)
}

// Close stops all heartbeats and closes the Redis connection, unless it is the
// configuration's Client. It deregisters nothing: instances expire with their TTL. It
// returns within 5 s even if Redis hangs. A second Close returns nil.
func (r *RedisRegistry) Close() error { return r.close() }
