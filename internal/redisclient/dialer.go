package redisclient

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// dialFunc is how go-redis asks for a connection.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer makes connections and tracks those that are open, so that closing it
// closes them, and a failover closes those to the old primary. A failed dial is
// returned as a failedConn, not as an error.
type dialer struct {
	tls        *tls.Config
	refreshTLS func(*tls.Config) error // nil: tls stays as it is
	dialTCP    func(ctx context.Context, addr string) (*net.TCPConn, error)
	lookup     lookupFunc
	timeout    time.Duration // of a dial

	ctx    context.Context // ends with the dialer, and with it the dials in progress
	cancel context.CancelFunc
	dials  sync.WaitGroup

	mu             sync.Mutex
	closed         bool
	conns          map[*trackedConn]struct{}
	primary        string // the one node to talk to, when Sentinels name it
	primaryChanges uint64 // how often primary changed
}

func newDialer(config *tls.Config, timeout time.Duration) *dialer {
	d := &dialer{dialTCP: dialTCP, lookup: lookupHost, timeout: timeout, conns: make(map[*trackedConn]struct{})}
	if config != nil {
		d.tls = config.Clone()
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

func dialTCP(ctx context.Context, addr string) (*net.TCPConn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

func (d *dialer) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	conn, err := d.connect(ctx, addr, toAny)
	if err != nil {
		return newFailedConn(addr, err), nil
	}
	return conn, nil
}

// connect makes a connection. One to the primary fails if the primary changed meanwhile.
func (d *dialer) connect(ctx context.Context, addr string, role connRole) (net.Conn, error) {
	if !d.startDial() {
		return nil, net.ErrClosed
	}
	defer d.dials.Done()
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	stop := context.AfterFunc(d.ctx, cancel)
	defer stop()

	conn, err := d.handshake(ctx, addr, role)
	if err != nil && d.ctx.Err() != nil {
		err = net.ErrClosed
	}
	return conn, err
}

func (d *dialer) startDial() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.dials.Add(1)
	return true
}

func (d *dialer) handshake(ctx context.Context, addr string, role connRole) (net.Conn, error) {
	config, err := d.tlsConfig(addr)
	if err != nil {
		return nil, err
	}
	plain, err := d.dialTCP(ctx, addr)
	if err != nil {
		return nil, err
	}
	_ = plain.SetWriteBuffer(sendBufferBytes) // an error is harmless: it only matters on slow lines
	tracked := &trackedConn{TCPConn: plain, dialer: d, addr: addr, role: role}
	if err := d.track(tracked); err != nil {
		_ = plain.Close()
		return nil, err
	}
	if config == nil {
		return tracked, nil
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

func (d *dialer) untrack(c *trackedConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
}

// setPrimary takes the answer to a question that was asked at the primaryVersion
// asked; if the primary changed since, the answer is ignored. When it changes the
// primary, the connections to the old one are closed.
func (d *dialer) setPrimary(addr string, asked uint64) (current string, moved bool) {
	d.mu.Lock()
	if d.primaryChanges != asked || d.primary == addr {
		defer d.mu.Unlock()
		return d.primary, false
	}
	d.primary = addr
	d.primaryChanges++
	var old []*trackedConn
	for c := range d.conns {
		if c.role == toPrimary {
			old = append(old, c)
		}
	}
	d.mu.Unlock()
	for _, c := range old {
		c.closeBecause(movedError("the Sentinels name another primary, " + addr))
	}
	return addr, true
}

// closeIf closes the connections that match. Requests on them fail with the reason.
func (d *dialer) closeIf(match func(*trackedConn) bool, reason error) {
	d.mu.Lock()
	var old []*trackedConn
	for c := range d.conns {
		if match(c) {
			old = append(old, c)
		}
	}
	d.mu.Unlock()
	for _, c := range old {
		c.closeBecause(reason)
	}
}

// closeAll closes all connections. Requests on them fail with the reason.
func (d *dialer) closeAll(reason error) {
	d.closeIf(func(*trackedConn) bool { return true }, reason)
}

// primaryVersion is the number of changes so far, to be given to setPrimary.
func (d *dialer) primaryVersion() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.primaryChanges
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

// tlsConn shows go-redis the socket below TLS, by which it notices that an idle
// connection was closed.
type tlsConn struct {
	*tls.Conn
	tracked *trackedConn
}

func (c *tlsConn) SyscallConn() (syscall.RawConn, error) { return c.tracked.SyscallConn() }

// Close sends no TLS close_notify: that may wait on a hung server, and Redis needs none.
func (c *tlsConn) Close() error { return c.tracked.Close() }
