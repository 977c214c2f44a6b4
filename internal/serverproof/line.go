package serverproof

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// line carries the connections of one registry, and can cut, hold and refuse them. Under
// TLS it carries what is encrypted. Its methods are safe for concurrent use.
type line struct {
	wg sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	refused bool
	held    chan struct{} // closed by heal; nil: nothing is held
	pairs   map[*pair]struct{}
}

// pair is one connection: from the registry to this program, and on to the server.
type pair struct {
	inner, server *net.TCPConn
	ended         chan struct{}
	once          sync.Once
}

// end ends both connections with a reset.
func (p *pair) end() {
	p.once.Do(func() {
		close(p.ended)
		for _, c := range []*net.TCPConn{p.inner, p.server} {
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	})
}

func newLine() *line { return &line{pairs: make(map[*pair]struct{})} }

var errRefused = errors.New("connection refused by the drill")

// dial connects to a server.
func (l *line) dial(ctx context.Context, addr string) (*net.TCPConn, error) {
	l.mu.Lock()
	refused := l.refused || l.closed
	l.mu.Unlock()
	if refused {
		return nil, errRefused
	}
	server, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	outer, inner, err := loopback(ctx)
	if err != nil {
		_ = server.Close()
		return nil, fmt.Errorf("connection of the drill to itself: %w", err)
	}
	p := &pair{inner: inner, server: server.(*net.TCPConn), ended: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused || l.closed {
		p.end()
		_ = outer.Close()
		return nil, errRefused
	}
	l.pairs[p] = struct{}{}
	l.wg.Go(func() { l.carry(p) })
	return outer, nil
}

// loopback returns the two ends of a connection of this program to itself.
func loopback(ctx context.Context) (outer, inner *net.TCPConn, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	for {
		accepted, err := listener.Accept()
		if err != nil {
			_ = conn.Close()
			return nil, nil, err
		}
		if accepted.RemoteAddr().String() == conn.LocalAddr().String() {
			return conn.(*net.TCPConn), accepted.(*net.TCPConn), nil
		}
		_ = accepted.Close() // another program's
	}
}

// carry forwards both ways until one side ends.
func (l *line) carry(p *pair) {
	var wg sync.WaitGroup
	wg.Go(func() { l.copy(p, p.server, p.inner) })
	l.copy(p, p.inner, p.server)
	wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pairs, p)
}

func (l *line) copy(p *pair, to, from *net.TCPConn) {
	defer p.end()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !l.pass(p) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// pass waits while the line is held. It returns false when the connection has ended.
func (l *line) pass(p *pair) bool {
	l.mu.Lock()
	held := l.held
	l.mu.Unlock()
	if held == nil {
		return true
	}
	select {
	case <-held:
		return true
	case <-p.ended:
		return false
	}
}

// cut ends all connections.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.end()
	}
}

// hold delivers nothing until heal.
func (l *line) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = make(chan struct{})
	}
}

// refuse ends all connections, and new ones fail until heal.
func (l *line) refuse() {
	l.mu.Lock()
	l.refused = true
	l.mu.Unlock()
	l.cut()
}

// heal ends what hold and refuse began.
func (l *line) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = false
	if l.held != nil {
		close(l.held)
		l.held = nil
	}
}

// close ends all connections and waits until nothing of the line runs.
func (l *line) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cut()
	l.wg.Wait()
}
