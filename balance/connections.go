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
	// idlePerInstance is how many idle connections to an instance are kept.
	idlePerInstance = 100
)

func defaultTransport() *http.Transport {
	base := &http.Transport{}
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		base = t.Clone()
	}
	base.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	base.MaxIdleConns, base.MaxIdleConnsPerHost = idlePerInstance, idlePerInstance
	return base
}

// transportProblem says why a transport cannot be the base of ours, or "".
func transportProblem(base *http.Transport) string {
	switch {
	case base == nil:
		return "the transport is nil"
	case base.Dial != nil, base.DialTLS != nil: //lint:ignore SA1019 they are refused
		return "Dial and DialTLS are deprecated and not used: set DialContext or DialTLSContext"
	}
	return ""
}

// connections returns the node's own http.Transport. One each, because idle
// connections can only be closed per transport, and because the URL can stay as
// it is: whatever it names, the node's address is dialed.
func (n *node) connections(base *http.Transport) *http.Transport {
	if t := n.transport.Load(); t != nil {
		return t
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
	if !n.transport.CompareAndSwap(nil, t) {
		return n.transport.Load()
	}
	return t
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

func to(address string, dial dialer) dialer {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, address)
	}
}
