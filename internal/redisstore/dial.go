package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// dialFunc is how go-redis asks for a connection.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer makes connections and knows all that are open, so that closing it
// closes them, and a failover closes those to the old primary.
//
// Its dialFuncs return no errors. After as many failed dials as the pool has
// places, go-redis answers every call with an old error until a goroutine,
// which sleeps 1 s a turn and outlives Close, got through again. So a failed
// dial is handed over as a connection whose first use fails.
type dialer struct {
	tls    *tls.Config
	lookup lookupFunc

	ctx    context.Context // ends with the dialer, and with it the dials in progress
	cancel context.CancelFunc
	dials  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	conns   map[*trackedConn]struct{}
	primary string // the one node to talk to, when Sentinels name it
	moves   uint64 // how often primary changed
}

func newDialer(config *tls.Config) *dialer {
	d := &dialer{lookup: lookupHost, conns: make(map[*trackedConn]struct{})}
	if config != nil {
		d.tls = config.Clone()
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

func (d *dialer) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	conn, err := d.connect(ctx, addr, toAny)
	if err != nil {
		return newDeadConn(addr, err), nil
	}
	return conn, nil
}

// connect makes a connection. One to the primary must still be that when it stands.
func (d *dialer) connect(ctx context.Context, addr string, role connRole) (net.Conn, error) {
	if !d.begin() {
		return nil, net.ErrClosed
	}
	defer d.dials.Done()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	stop := context.AfterFunc(d.ctx, cancel)
	defer stop()

	conn, err := d.handshake(ctx, addr, role)
	if err != nil && d.ctx.Err() != nil {
		err = net.ErrClosed
	}
	return conn, err
}

func (d *dialer) begin() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.dials.Add(1)
	return true
}

func (d *dialer) handshake(ctx context.Context, addr string, role connRole) (net.Conn, error) {
	plain, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	_ = plain.(*net.TCPConn).SetWriteBuffer(unsentBytes) // without which it works as well, on faster lines
	tracked := &trackedConn{TCPConn: plain.(*net.TCPConn), dialer: d, addr: addr, role: role}
	if err := d.track(tracked); err != nil {
		_ = plain.Close()
		return nil, err
	}
	if d.tls == nil {
		return tracked, nil
	}
	config := d.tls
	if config.ServerName == "" && !config.InsecureSkipVerify {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			_ = tracked.Close()
			return nil, err
		}
		config = config.Clone()
		config.ServerName = host
	}
	secured := tls.Client(tracked, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = tracked.Close()
		return nil, fmt.Errorf("TLS handshake (does the server speak TLS on this port?): %w", err)
	}
	return &tlsConn{Conn: secured, tracked: tracked}, nil
}

func (d *dialer) track(c *trackedConn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return net.ErrClosed
	case c.role == toPrimary && c.addr != d.primary:
		return fmt.Errorf("the primary moved to %s meanwhile", d.primary)
	}
	d.conns[c] = struct{}{}
	return nil
}

func (d *dialer) forget(c *trackedConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
}

// setPrimary takes the answer to a question that was put when moves stood at
// asked; a newer answer outranks it. When the primary changed, the connections
// to the old one are closed.
func (d *dialer) setPrimary(addr string, asked uint64) (current string, moved bool) {
	d.mu.Lock()
	if d.moves != asked || d.primary == addr {
		defer d.mu.Unlock()
		return d.primary, false
	}
	d.primary = addr
	d.moves++
	var old []*trackedConn
	for c := range d.conns {
		if c.role == toPrimary {
			old = append(old, c)
		}
	}
	d.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
	return addr, true
}

// closeIf closes the connections that match.
func (d *dialer) closeIf(match func(*trackedConn) bool) {
	d.mu.Lock()
	var old []*trackedConn
	for c := range d.conns {
		if match(c) {
			old = append(old, c)
		}
	}
	d.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
}

// move is the count of changes so far, to be given to setPrimary.
func (d *dialer) move() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.moves
}

// close ends the dials in progress, closes all connections and refuses new ones.
func (d *dialer) close() {
	d.mu.Lock()
	d.closed = true
	conns := make([]*trackedConn, 0, len(d.conns))
	for c := range d.conns {
		conns = append(conns, c)
	}
	d.mu.Unlock()
	d.cancel()
	for _, c := range conns {
		_ = c.Close()
	}
	d.dials.Wait()
}

// connRole says what a connection is for.
type connRole string

const (
	toAny     connRole = "any"
	toPrimary connRole = "primary" // must go when the Sentinels name another primary
)

// tlsConn shows go-redis the socket below TLS, for the same reason.
type tlsConn struct {
	*tls.Conn
	tracked *trackedConn
}

func (c *tlsConn) SyscallConn() (syscall.RawConn, error) { return c.tracked.SyscallConn() }

// Close skips the polite end of TLS: it may wait on a hung server, and Redis needs none.
func (c *tlsConn) Close() error { return c.tracked.Close() }

// deadConn stands for a connection that could not be made.
type deadConn struct {
	addr deadAddr
	err  error
}

func newDeadConn(addr string, cause error) *deadConn {
	return &deadConn{addr: deadAddr(addr), err: newDialError(deadAddr(addr), cause)}
}

func (c *deadConn) Read([]byte) (int, error)         { return 0, c.err }
func (c *deadConn) Write([]byte) (int, error)        { return 0, c.err }
func (c *deadConn) Close() error                     { return nil }
func (c *deadConn) LocalAddr() net.Addr              { return c.addr }
func (c *deadConn) RemoteAddr() net.Addr             { return c.addr }
func (c *deadConn) SetDeadline(time.Time) error      { return nil }
func (c *deadConn) SetReadDeadline(time.Time) error  { return nil }
func (c *deadConn) SetWriteDeadline(time.Time) error { return nil }

type deadAddr string

func (a deadAddr) Network() string { return "tcp" }
func (a deadAddr) String() string  { return string(a) }

// dialError is a net.Error. It wraps a *net.OpError once more because go-redis
// strips one layer off what fails while it sets a connection up.
type dialError struct{ op *net.OpError }

func newDialError(addr net.Addr, cause error) *dialError {
	// go-redis takes context.DeadlineExceeded for the caller's own and would
	// not turn to another node of a Cluster.
	var timeout net.Error
	if errors.Is(cause, context.DeadlineExceeded) || errors.As(cause, &timeout) && timeout.Timeout() {
		cause = timedOut{cause.Error()}
	} else if op, ok := cause.(*net.OpError); ok {
		return &dialError{op: op}
	}
	return &dialError{op: &net.OpError{Op: "dial", Net: addr.Network(), Addr: addr, Err: cause}}
}

// timedOut is a timeout of this package's, not of the caller's context.
type timedOut struct{ text string }

func (e timedOut) Error() string        { return e.text }
func (e timedOut) Timeout() bool        { return true }
func (e timedOut) Is(target error) bool { return target == os.ErrDeadlineExceeded }

func (e *dialError) Error() string   { return e.op.Error() }
func (e *dialError) Unwrap() error   { return e.op }
func (e *dialError) Timeout() bool   { return e.op.Timeout() }
func (e *dialError) Temporary() bool { return e.op.Timeout() }
