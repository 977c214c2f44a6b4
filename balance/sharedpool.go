package balance

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"weak"
)

// sharedPool is one upstream's part of an HTTP/2 implementation that the base
// transport brought along, as x/net's http2.ConfigureTransport installs it. All
// clones of the base share that implementation, and its pool of connections,
// which finds them by the URL's host: the service for all upstreams. Here the pool
// gets a host of the upstream's own instead. Settings such as pings stay in force,
// as they are the implementation's.
type sharedPool struct {
	host string // made up; in URLs only where the pool looks

	mu    sync.Mutex
	conns []func() net.Conn // nil once the pool has dropped it: it does not say when it closes one
	close map[string]func() // by protocol: closes all that is idle in the pool
}

// hosts counts upstreams with a sharedPool in this process: two Transports may have
// one base.
var hosts atomic.Int64

// The protocols for which net/http hands a connection to an HTTP/2 implementation.
const (
	overTLS  = "h2"
	plainTCP = "unencrypted_http2"
)

// separate keeps an upstream's connections apart from others' in the HTTP/2
// implementation of its transport, and returns nil if it has none but net/http's:
// each clone has its own of that.
func separate(t *http.Transport) *sharedPool {
	var p *sharedPool
	for _, protocol := range []string{overTLS, plainTCP} {
		upgrade := t.TLSNextProto[protocol]
		if upgrade == nil {
			continue
		}
		if p == nil {
			// RFC 2606 keeps .invalid free.
			p = &sharedPool{host: fmt.Sprintf("%d.balance.invalid", hosts.Add(1)), close: map[string]func(){}}
		}
		t.TLSNextProto[protocol] = func(_ string, conn *tls.Conn) http.RoundTripper {
			var live func() net.Conn
			if e, ok := conn.NetConn().(envelope); ok {
				plain := &plainConn{e.UnencryptedNetConn()}
				conn = tls.Client(plain, nil)
				live = whileUsed(plain, func(c *plainConn) net.Conn { return c.Conn })
			} else {
				live = whileUsed(conn, (*tls.Conn).NetConn) // closing the TLS could block
			}
			return p.add(protocol, live, upgrade(p.host, conn))
		}
	}
	return p
}

// envelope is how net/http hands on a connection without TLS: within a tls.Conn.
type envelope interface{ UnencryptedNetConn() net.Conn }

// plainConn is a connection without TLS that a pool has.
type plainConn struct{ net.Conn }

func (c *plainConn) UnencryptedNetConn() net.Conn { return c }

// whileUsed returns a function that returns what is under c until c is garbage.
func whileUsed[C any](c *C, under func(*C) net.Conn) func() net.Conn {
	ref := weak.Make(c)
	return func() net.Conn {
		if c := ref.Value(); c != nil {
			return under(c)
		}
		return nil
	}
}

// add takes note of a connection that the pool was given.
func (p *sharedPool) add(protocol string, conn func() net.Conn, pool http.RoundTripper) http.RoundTripper {
	if _, failed := pool.(interface{ RoundTripErr() error }); failed {
		return pool // net/http asks for the error
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(slices.DeleteFunc(p.conns, func(c func() net.Conn) bool { return c() == nil }), conn)
	if idle, ok := pool.(interface{ CloseIdleConnections() }); ok {
		p.close[protocol] = idle.CloseIdleConnections
	}
	return hosted{pool: pool, host: p.host}
}

// closeAll closes the upstream's connections, whatever they are used for.
func (p *sharedPool) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if conn := c(); conn != nil {
			_ = conn.Close()
		}
	}
	p.conns = nil
}

// closeIdle closes what is idle in the whole pool, other upstreams' connections
// included: there is no other way.
func (p *sharedPool) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, closeIdle := range p.close {
		closeIdle()
	}
}

// hosted sends requests over connections that the pool has for a host, while the
// server sees the URL's.
type hosted struct {
	pool http.RoundTripper
	host string
}

func (h hosted) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.WithContext(req.Context())
	u := *req.URL
	if out.Host == "" {
		out.Host = u.Host
	}
	u.Host = h.host
	out.URL = &u
	return h.pool.RoundTrip(out)
}
