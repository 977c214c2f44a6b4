package redisclient

import (
	"context"
	"fmt"
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

// PrimaryRefresher returns a function that keeps the client on the primary when it
// is called once per heartbeat. It is nil where none is needed: on a Cluster, and
// for a single server that was given by an IP address.
func (c *Client) PrimaryRefresher() func(context.Context) {
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
	}, movedError(c.host+" has another address now"))
}

// OnNewConnection has notify called for each connection but the first: the
// server may be another one. notify must not block. It does nothing on a Cluster
// and behind Sentinels.
func (c *Client) OnNewConnection(notify func()) {
	if c.identity != nil {
		c.identity.mu.Lock()
		c.identity.notify = notify
		c.identity.mu.Unlock()
	}
}

// NoteServer takes the reply to INFO server on the first connection. It does
// nothing on a Cluster and behind Sentinels.
func (c *Client) NoteServer(info string) {
	if c.identity != nil {
		c.identity.noteServer(info)
	}
}

// CheckServer makes a connection of its own and closes the others when it reaches
// another server, which it reports. It does nothing on a Cluster and behind Sentinels.
func (c *Client) CheckServer(ctx context.Context) (moved bool) {
	if c.identity == nil {
		return false
	}
	options := *c.UniversalClient.(*redis.Client).Options()
	options.PoolSize, options.OnConnect = 1, nil
	fresh := redis.NewClient(&options)
	defer fresh.Close()
	// An error is ignored: an outage shows in the requests themselves.
	if moved = c.identity.noteServer(fresh.Info(ctx, "server").Val()); moved {
		c.dialer.closeAll(movedError("its address leads to another server now"))
	}
	return moved
}

// Redial closes the connections of a client of a single server, because that
// server replied that it is a replica. Requests then look its name up again; those
// that wait on the connections fail with the reply.
func (c *Client) Redial(reply error) {
	if c.identity != nil {
		c.dialer.closeAll(fmt.Errorf("connection closed: the server replied %q", reply))
	}
}

// serverIdentity compares the servers that the connections of one address reach.
type serverIdentity struct {
	mu        sync.Mutex
	connected bool        // the first connection was made
	runID     string      // of the newest server; "" while unknown
	changes   []time.Time // the latest changes of runID, at most maxChangesPerMinute
	notify    func()      // called for each further connection; must not block
}

// onConnect is called by go-redis for each new connection, before its first use.
func (s *serverIdentity) onConnect(context.Context, *redis.Conn) error {
	s.mu.Lock()
	first, notify := !s.connected, s.notify
	s.connected = true
	s.mu.Unlock()
	if !first && notify != nil {
		notify()
	}
	return nil
}

// noteServer takes the reply to INFO server on a connection that was just made, and
// reports whether it is from another server than before. A user without the
// right to INFO goes without this comparison.
func (s *serverIdentity) noteServer(info string) (moved bool) {
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
	s.changes = append(s.changes, now)
	if len(s.changes) > maxChangesPerMinute {
		s.changes = s.changes[1:]
	}
	// A proxy that lets several servers answer INFO is no address that moves.
	return len(s.changes) < maxChangesPerMinute || now.Sub(s.changes[0]) > time.Minute
}

// maxChangesPerMinute is how many changes within a minute show that an address leads
// to several servers at a time: only the ones before it count as moves.
const maxChangesPerMinute = 4
