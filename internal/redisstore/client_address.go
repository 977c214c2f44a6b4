package redisstore

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// The address of a single server may come to lead to another server: a DNS
// record, a virtual address or a proxy moves to a promoted replica, and the
// connections to the old server stay open. What shows it, and when:
//
//	the name has other addresses         once per heartbeat (CheckAddress)
//	the server refuses a write: READONLY  with the next write; a process that only
//	                                     reads asks once per heartbeat (writeProof)
//	a new connection reaches a server    with each new connection (serverIdentity);
//	with another run ID                  one is made in a heartbeat in which an
//	                                     instance expired (CheckServer)
//
// Then the connections to the old server are closed, subscriptions included, and
// the next request looks the name up again.

// lookupFunc finds the addresses of a host name.
type lookupFunc = func(ctx context.Context, host string) ([]netip.Addr, error)

func lookupHost(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// CheckAddress looks up the name of the client's single server and closes the
// connections to addresses that the name no longer has. It does nothing when the
// server was given by an IP address, on a Cluster, and behind Sentinels. A name
// that cannot be looked up changes nothing.
func (c *Client) CheckAddress(ctx context.Context) {
	if c.identity != nil {
		c.identity.sweep()
	}
	if c.host == "" {
		return
	}
	now, err := c.dialer.lookup(ctx, c.host)
	if err != nil || len(now) == 0 {
		return
	}
	for i := range now {
		now[i] = now[i].Unmap().WithZone("")
	}
	c.dialer.closeIf(func(conn *trackedConn) bool {
		remote, ok := conn.RemoteAddr().(*net.TCPAddr)
		return ok && !slices.Contains(now, remote.AddrPort().Addr().Unmap().WithZone(""))
	})
}

// CheckServer makes a new connection, which compares the server it reaches with
// that of the others. It does nothing on a Cluster and behind Sentinels.
func (c *Client) CheckServer(ctx context.Context) {
	if c.identity == nil {
		return
	}
	options := *c.UniversalClient.(*redis.Client).Options()
	options.PoolSize = 1
	fresh := redis.NewClient(&options)
	defer fresh.Close()
	// An outage shows in the requests themselves.
	_ = fresh.Ping(ctx).Err()
}

// Redial closes the connections of a client of a single server, because that
// server says that it is a replica. Requests then look its name up again.
func (c *Client) Redial() {
	if c.identity != nil {
		c.dialer.closeIf(func(*trackedConn) bool { return true })
	}
}

// serverIdentity compares the servers that the connections of one address reach.
type serverIdentity struct {
	dialer *dialer

	mu     sync.Mutex
	opened bool      // the first connection was made; its first request asks for the run ID
	runID  string    // of the newest server; "" while unknown
	moved  time.Time // when it was last found to be another
}

// onConnect is called by go-redis for each new connection, before its first use.
// A user without the right to INFO goes without this comparison.
func (s *serverIdentity) onConnect(ctx context.Context, conn *redis.Conn) error {
	s.mu.Lock()
	first := !s.opened
	s.opened = true
	s.mu.Unlock()
	if first {
		return nil
	}
	info, err := conn.Info(ctx, "server").Result()
	var said redis.Error
	if err != nil && !errors.As(err, &said) {
		return err // the connection has ended
	}
	s.learn(info)
	return nil
}

// learn takes the reply to INFO server on a connection that was just made.
func (s *serverIdentity) learn(info string) {
	_, rest, found := strings.Cut(info, "run_id:")
	id, _, _ := strings.Cut(rest, "\r\n")
	if !found {
		return
	}
	now := time.Now()
	s.mu.Lock()
	moved := s.runID != "" && s.runID != id
	s.runID = id
	if moved {
		s.moved = now
	}
	s.mu.Unlock()
	if moved {
		// The connection that told is younger than the time that making one may take.
		made := now.Add(-dialTimeout)
		s.dialer.closeIf(func(c *trackedConn) bool { return c.made.Before(made) })
	}
}

// sweep closes the connections that were made in the last moments before the
// server was found to be another, which learn could not tell apart.
func (s *serverIdentity) sweep() {
	s.mu.Lock()
	moved := s.moved
	s.moved = time.Time{}
	s.mu.Unlock()
	if !moved.IsZero() {
		s.dialer.closeIf(func(c *trackedConn) bool { return c.made.Before(moved) })
	}
}
