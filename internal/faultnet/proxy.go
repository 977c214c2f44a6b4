// Package faultnet simulates network faults between a client and a real Redis
// server. It is a TCP proxy that can delay, hold, drop, cut and refuse, and that
// counts commands and round trips. It changes nothing else.
package faultnet

import (
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/freeport"
)

// Proxy is a listener that forwards every connection to one server. Its own methods
// apply to all connections, those of Subscriptions only to connections that sent
// SUBSCRIBE, PSUBSCRIBE or SSUBSCRIBE. The faults of both add up.
type Proxy struct {
	Faults
	Subscriptions *Faults

	port   int
	lock   func() error // releases the port
	wg     sync.WaitGroup
	counts counts

	mu       sync.Mutex
	target   string
	listener *net.TCPListener // nil while new connections are refused
	conns    []*conn          // oldest first
	changed  chan struct{}
	accepted int
	closed   bool
}

// New starts a proxy in front of target (host:port) that ends with the test.
func New(t testing.TB, target string) *Proxy {
	t.Helper()
	p, err := open(target)
	if err != nil {
		t.Fatalf("opening a proxy to %s: %v", target, err)
	}
	t.Cleanup(p.Close)
	return p
}

func open(target string) (*Proxy, error) {
	port, lock, err := freeport.Reserve()
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, port: port, lock: lock.Close, changed: make(chan struct{})}
	p.Faults = Faults{proxy: p, matches: func(*conn) bool { return true }}
	p.Subscriptions = &Faults{proxy: p, matches: func(c *conn) bool { return c.subscribed.Load() }}
	if err := p.Accept(); err != nil {
		lock.Close()
		return nil, err
	}
	return p, nil
}

// Addr returns the host:port to connect to in place of the server's.
func (p *Proxy) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// Refuse makes the kernel refuse new connections until Accept. Open ones stay.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		freeport.StopListening(p.listener)
		p.listener = nil
	}
}

// Retarget forwards new connections to another server. Open ones stay.
func (p *Proxy) Retarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Accept ends Refuse. The error, if any, is the kernel's answer to listening again.
func (p *Proxy) Accept() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return nil
	}
	l, err := net.Listen("tcp", p.Addr())
	if err != nil {
		return err
	}
	p.listener = l.(*net.TCPListener)
	p.wg.Go(func() { p.accept(l) })
	return nil
}

// slowBuffer is the buffer of a throttled connection in each direction, in bytes.
const slowBuffer = 64 << 10

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

// serve forwards one connection until both its directions have ended.
func (p *Proxy) serve(client *net.TCPConn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		reset(client)
		return
	}
	c := newConn(p, client, server.(*net.TCPConn))
	if c.paced(ToServer) || c.paced(ToClient) {
		// Otherwise the kernel buffers megabytes.
		_ = client.SetReadBuffer(slowBuffer)
		_ = c.server.SetReadBuffer(slowBuffer)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.reset()
		return
	}
	p.conns = append(p.conns, c)
	p.accepted++
	p.mu.Unlock()
	c.enforce()
	c.run()
	p.mu.Lock()
	p.conns = slices.DeleteFunc(p.conns, func(other *conn) bool { return other == c })
	p.mu.Unlock()
}

// Accepted returns how many connections there have been, open or not.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Close ends all connections and waits until nothing of the proxy runs.
func (p *Proxy) Close() {
	p.Refuse()
	p.mu.Lock()
	already := p.closed
	p.closed = true
	conns := slices.Clone(p.conns)
	p.mu.Unlock()
	for _, c := range conns {
		c.reset()
	}
	p.wg.Wait()
	if !already {
		_ = p.lock()
	}
}

func (p *Proxy) connections() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.conns)
}

// wake signals every connection that faults have changed.
func (p *Proxy) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) changes() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}
