package redisstore

import (
	"context"
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
//	a new connection reaches a server    in a heartbeat in which a connection was
//	with another run ID                  made or an instance expired (CheckServer)
//
// Then the connections to the old server are closed, subscriptions included, and
// the next request looks the name up again.

// lookupFunc finds the addresses of a host name.
type lookupFunc = func(ctx context.Context, host string) ([]netip.Addr, error)

func lookupHost(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// Follow returns what keeps the client with the primary when it is called once
// per heartbeat, or nil where nothing needs to: on a Cluster, and for a single
// server that was given by an IP address.
func (c *Client) Follow() func(context.Context) {
	switch {
	case c.sentinels != nil:
		return func(ctx context.Context) { _, _ = c.CheckPrimary(ctx) }
	case c.host != "":
		return c.CheckAddress
	}
	return nil
}

// CheckAddress looks up the name of the client's single server and closes the
// connections to addresses that the name no longer has. It does nothing when the
// server was given by an IP address, on a Cluster, and behind Sentinels. A name
// that cannot be looked up changes nothing.
func (c *Client) CheckAddress(ctx context.Context) {
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

// OnNewConnection has suspect called for each connection but the first: the
// server may be another one. suspect must not block. It does nothing on a Cluster
// and behind Sentinels.
func (c *Client) OnNewConnection(suspect func()) {
	if c.identity != nil {
		c.identity.mu.Lock()
		c.identity.suspect = suspect
		c.identity.mu.Unlock()
	}
}

// CheckServer makes a connection of its own and closes the others when it reaches
// another server. It does nothing on a Cluster and behind Sentinels.
func (c *Client) CheckServer(ctx context.Context) {
	if c.identity == nil {
		return
	}
	options := *c.UniversalClient.(*redis.Client).Options()
	options.PoolSize, options.OnConnect = 1, nil
	fresh := redis.NewClient(&options)
	defer fresh.Close()
	// An outage shows in the requests themselves.
	if c.identity.learn(fresh.Info(ctx, "server").Val()) {
		c.dialer.closeIf(func(*trackedConn) bool { return true })
	}
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
	mu      sync.Mutex
	opened  bool        // the first connection was made
	runID   string      // of the newest server; "" while unknown
	moves   []time.Time // the latest changes of runID, at most maxMoves
	suspect func()      // called for each further connection; must not block
}

// onConnect is called by go-redis for each new connection, before its first use.
func (s *serverIdentity) onConnect(context.Context, *redis.Conn) error {
	s.mu.Lock()
	first, suspect := !s.opened, s.suspect
	s.opened = true
	s.mu.Unlock()
	if !first && suspect != nil {
		suspect()
	}
	return nil
}

// learn takes the reply to INFO server on a connection that was just made, and
// reports whether it is from another server than before. A user without the
// right to INFO goes without this comparison.
func (s *serverIdentity) learn(info string) (moved bool) {
	_, rest, found := strings.Cut(info, "run_id:")
	id, _, _ := strings.Cut(rest, "\r\n")
	if !found {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	moved = s.runID != "" && s.runID != id
	s.runID = id
	if !moved {
		return false
	}
	now := time.Now()
	s.moves = append(s.moves, now)
	if len(s.moves) > maxMoves {
		s.moves = s.moves[1:]
	}
	// A proxy that lets several servers answer INFO is no address that moves.
	return len(s.moves) < maxMoves || now.Sub(s.moves[0]) > time.Minute
}

// maxMoves is how many moves within a minute show that an address leads to
// several servers at a time: only the first ones are taken for moves.
const maxMoves = 4
