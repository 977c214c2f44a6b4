package balance

import (
	"context"
	"net"
	"net/http"
	"slices"
	"time"
)

const (
	// dialTimeout bounds one try to connect: there may be others to connect to.
	dialTimeout = 3 * time.Second
	// settleTime is how long a connection that carries several requests may take
	// to notice that its last one has ended.
	settleTime = time.Second
)

// connections are those to one upstream. Each upstream has an http.Transport of its own,
// because idle connections can only be closed per transport, and because the URL
// can stay as it is: whatever it names, the upstream's address is dialed.
type connections struct {
	*http.Transport
	shared *sharedPool // nil unless the base came with an HTTP/2 of its own
}

// connections returns the upstream's own.
func (n *upstream) connections(base *http.Transport) *connections {
	if c := n.transport.Load(); c != nil {
		return c
	}
	t := base.Clone()
	t.Proxy = nil
	dial := t.DialContext
	if dial == nil {
		// With a dialer of its own, a transport no longer offers HTTP/2 by itself.
		// Whether the base would have, its clone's protocols tell.
		if c := t.TLSClientConfig; c != nil && slices.Contains(c.NextProtos, "h2") {
			t.ForceAttemptHTTP2 = true
		}
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	t.DialContext = to(n.address, dial)
	if t.DialTLSContext != nil {
		t.DialTLSContext = to(n.address, t.DialTLSContext)
	}
	c := &connections{Transport: t, shared: separate(t)}
	if !n.transport.CompareAndSwap(nil, c) {
		return n.transport.Load()
	}
	return c
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

func to(address string, dial dialer) dialer {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		if t, ok := ctx.Value(tracerKey{}).(*tracer); ok {
			t.dialing.Store(true)
		}
		return dial(ctx, network, address)
	}
}

// closeIdle closes the connections without requests.
func (c *connections) closeIdle() {
	c.CloseIdleConnections()
	if c.shared != nil {
		c.shared.closeIdle()
	}
}

// closeShared closes connections in a pool that is not the upstream's own. No
// request may be in flight.
func (c *connections) closeShared() {
	if c.shared != nil {
		c.shared.closeAll()
	}
}
