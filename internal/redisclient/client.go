// Package redisclient makes go-redis clients on connections of this library's own:
// to a single server, to the primary that Sentinels name, and to a Cluster. It
// knows nothing of what is stored.
//
//	client.go          configuration and life of a client
//	dialer.go          makes, counts and closes connections
//	conn.go            deadlines that progress extends
//	credentials.go     what a new connection authenticates with
//	failed_conn.go     a failed dial, in the form that go-redis needs
//	sentinel.go        asks Sentinels for the primary, follows a failover
//	server_address.go  notices that an address leads to another server
//	check.go           clients that a caller made
//	pipeline.go        errors of pipelines and lost connections
//
// Retries are up to the caller. Only the Sentinels are asked again by this package.
package redisclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Config says how to reach Redis.
type Config struct {
	// Addr is a standalone server, host:port. It is ignored when Addrs is set.
	Addr string
	// Addrs are nodes of a Redis Cluster or, with MasterName, Sentinels.
	Addrs []string
	// MasterName is the name under which the Sentinels know the primary.
	MasterName string

	Username, Password                 string
	SentinelUsername, SentinelPassword string
	// Credentials and SentinelCredentials, when set, are called for each new connection
	// and replace the names and passwords above. Calls may be concurrent.
	Credentials, SentinelCredentials CredentialsFunc

	// DB is the database number; it must be 0 on a Cluster.
	DB int
	// TLS, when set, is used for every connection, those to Sentinels included.
	TLS *tls.Config
	// RefreshTLS, when set, is called for each new connection with a clone of TLS,
	// which it may change. Calls may be concurrent.
	RefreshTLS func(*tls.Config) error
	// DialTCP, when set, makes all connections, under TLS if that is set. It is called
	// with host:port, and connections to a name that moves are not looked for.
	DialTCP func(ctx context.Context, addr string) (*net.TCPConn, error)
	// timeouts stand in for the defaults in tests.
	timeouts timeouts
}

// timeouts bound what a client waits for, on top of the context of the call.
type timeouts struct {
	dial time.Duration // a connection to one server, handshakes included
	op   time.Duration // a single write, and a single wait for a reply
}

var defaultTimeouts = timeouts{dial: time.Second, op: time.Second}

// poolSize is the number of connections to one server. Callers share them.
const poolSize = 10

// Client is a go-redis client on connections of the library's own. It reads
// from primaries only and does not retry by itself, but for a Cluster's
// redirections.
//
// The go-redis logger belongs to the application and is left alone. A Client
// writes nothing to it: no dial fails as go-redis sees it (see failed_conn.go),
// RESP2 has no push messages, and this package asks the Sentinels. What go-redis
// still logs are replies whose caller stopped waiting, and a full channel of
// PubSub.Channel.
type Client struct {
	redis.UniversalClient // *redis.Client, or *redis.ClusterClient on a Cluster

	dialer    *dialer
	sentinels *sentinels // nil without Sentinels
	// Of a single server, see client_address.go:
	host     string          // its name; "" when it was given by an IP address
	identity *serverIdentity // nil on a Cluster and behind Sentinels
	close    func() error
}

// Dial makes a client. It connects when first used, so it fails only on a
// configuration without an address. The caller closes the client.
func Dial(cfg Config) (*Client, error) {
	if cfg.Addr == "" && len(cfg.Addrs) == 0 {
		return nil, errors.New("no address of Redis given")
	}
	if cfg.MasterName != "" && len(cfg.Addrs) == 0 {
		return nil, errors.New("no address of a Sentinel given")
	}
	if cfg.timeouts == (timeouts{}) {
		cfg.timeouts = defaultTimeouts
	}
	c := &Client{dialer: newDialer(cfg.TLS, cfg.timeouts.dial)}
	c.dialer.refreshTLS = cfg.RefreshTLS
	if cfg.DialTCP != nil {
		c.dialer.dialTCP = cfg.DialTCP
	}
	cfg.Credentials = c.dialer.credentials(cfg.Credentials)
	cfg.SentinelCredentials = c.dialer.credentials(cfg.SentinelCredentials)
	switch {
	case cfg.MasterName != "":
		c.sentinels = startSentinels(cfg, c.dialer)
		options := nodeOptions(cfg, c.sentinels.dialPrimary)
		options.DialTimeout *= 2 // to a Sentinel, then to the primary
		c.UniversalClient = redis.NewClient(options)
	case len(cfg.Addrs) > 0:
		c.UniversalClient = redis.NewClusterClient(clusterOptions(cfg, c.dialer.dial))
	default:
		c.identity = new(serverIdentity)
		options := nodeOptions(cfg, c.dialer.dial)
		options.OnConnect = c.identity.onConnect
		c.UniversalClient = redis.NewClient(options)
		if host, _, err := net.SplitHostPort(cfg.Addr); err == nil && cfg.DialTCP == nil {
			if _, err := netip.ParseAddr(host); err != nil {
				c.host = host
			}
		}
	}
	c.close = sync.OnceValue(c.closeAll)
	return c, nil
}

// CheckPrimary asks the Sentinels who the primary is. If that has changed, the
// connections to the old one, subscriptions included, are closed, and moved is
// true. Without Sentinels it does nothing.
func (c *Client) CheckPrimary(ctx context.Context) (moved bool, err error) {
	if c.sentinels == nil {
		return false, nil
	}
	return c.sentinels.check(ctx)
}

// Close closes all connections, those being made included, and waits for the
// client's goroutines. A second Close returns what the first did. (go-redis
// may take 0.2 s more to end a reload of the Cluster's slots.)
func (c *Client) Close() error { return c.close() }

func (c *Client) closeAll() error {
	if c.sentinels != nil {
		c.sentinels.stop()
		defer c.sentinels.wait()
	}
	c.dialer.close()
	return c.UniversalClient.Close()
}

func nodeOptions(cfg Config, dial dialFunc) *redis.Options {
	addr := cfg.Addr
	if cfg.MasterName != "" {
		addr = cfg.MasterName
	}
	return &redis.Options{
		Addr:                       addr,
		Dialer:                     dial,
		Username:                   cfg.Username,
		Password:                   cfg.Password,
		CredentialsProviderContext: cfg.Credentials,
		DB:                         cfg.DB,
		Protocol:                   2, // the same replies on every server; no push messages between them
		MaxRetries:                 -1,
		DialTimeout:                cfg.timeouts.dial,
		DialerRetries:              1,
		ReadTimeout:                cfg.timeouts.op,
		WriteTimeout:               cfg.timeouts.op,
		ContextTimeoutEnabled:      true,
		PoolSize:                   poolSize,
		DisableIdentity:            true, // or users need the right to CLIENT SETINFO
		MaintNotificationsConfig:   noMaintNotifications(),
	}
}

func clusterOptions(cfg Config, dial dialFunc) *redis.ClusterOptions {
	return &redis.ClusterOptions{
		Addrs:                      cfg.Addrs,
		Dialer:                     dial,
		Username:                   cfg.Username,
		Password:                   cfg.Password,
		CredentialsProviderContext: cfg.Credentials,
		Protocol:                   2,
		MaxRetries:                 -1,
		DialTimeout:                cfg.timeouts.dial,
		DialerRetries:              1,
		ReadTimeout:                cfg.timeouts.op,
		WriteTimeout:               cfg.timeouts.op,
		ContextTimeoutEnabled:      true,
		PoolSize:                   poolSize,
		DisableIdentity:            true,
		MaintNotificationsConfig:   noMaintNotifications(),
	}
}

func noMaintNotifications() *maintnotifications.Config {
	return &maintnotifications.Config{
		Mode:         maintnotifications.ModeDisabled,
		EndpointType: maintnotifications.EndpointTypeNone,
	}
}
