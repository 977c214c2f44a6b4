package redisclient

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// trackedConn is an open socket that its dialer can close. It stays a
// syscall.Conn, by which go-redis notices that an idle one was closed.
//
// Its deadlines limit inactivity: while bytes move, each deadline is extended by
// the time it was away when it was set. So a transfer that takes long on a slow
// line completes, and a line on which nothing moves is noticed without delay.
type trackedConn struct {
	*net.TCPConn
	dialer *dialer
	addr   string
	role   connRole
	once   sync.Once
	err    error
	reason atomic.Pointer[error] // why the dialer closed it, for the requests on it

	readDeadline, writeDeadline idleDeadline
}

const (
	// writeChunkBytes is how much is written at a time, so that progress is noticed.
	writeChunkBytes = 32 << 10
	// sendBufferBytes bounds the part of a request that the kernel holds unsent:
	// those bytes count as written although they may not move.
	sendBufferBytes = 128 << 10
)

// idleDeadline is a deadline that progress extends.
type idleDeadline struct {
	timeout  atomic.Int64 // ns; 0: there is no deadline
	setAt    atomic.Int64 // ns since the epoch, when it was set or extended
	extended atomic.Bool
}

func (s *idleDeadline) set(deadline time.Time) {
	s.extended.Store(false)
	if deadline.IsZero() {
		s.timeout.Store(0)
		return
	}
	now := time.Now()
	s.timeout.Store(max(0, deadline.Sub(now).Nanoseconds()))
	s.setAt.Store(now.UnixNano())
}

// extend returns the deadline from now on, if it is worth setting again.
func (s *idleDeadline) extend() (deadline time.Time, again bool) {
	timeout := s.timeout.Load()
	now := time.Now()
	if timeout == 0 || now.UnixNano()-s.setAt.Load() < timeout/8 {
		return time.Time{}, false
	}
	s.setAt.Store(now.UnixNano())
	s.extended.Store(true)
	return now.Add(time.Duration(timeout)), true
}

// SetDeadline implements net.Conn.
func (c *trackedConn) SetDeadline(t time.Time) error {
	c.readDeadline.set(t)
	c.writeDeadline.set(t)
	return c.explain(c.TCPConn.SetDeadline(t))
}

// SetReadDeadline implements net.Conn. After a write that needed more time, the
// reply gets at least the time that the write's deadline had.
func (c *trackedConn) SetReadDeadline(t time.Time) error {
	if c.writeDeadline.extended.Load() && !t.IsZero() {
		if least := time.Now().Add(time.Duration(c.writeDeadline.timeout.Load())); t.Before(least) {
			t = least
		}
	}
	c.readDeadline.set(t)
	return c.explain(c.TCPConn.SetReadDeadline(t))
}

// SetWriteDeadline implements net.Conn.
func (c *trackedConn) SetWriteDeadline(t time.Time) error {
	c.writeDeadline.set(t)
	return c.explain(c.TCPConn.SetWriteDeadline(t))
}

// Read implements net.Conn.
func (c *trackedConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if n > 0 {
		if deadline, again := c.readDeadline.extend(); again {
			_ = c.TCPConn.SetReadDeadline(deadline)
		}
	}
	return n, c.explain(err)
}

// Write implements net.Conn.
func (c *trackedConn) Write(b []byte) (int, error) {
	written := 0
	for {
		n, err := c.TCPConn.Write(b[written:min(len(b), written+writeChunkBytes)])
		written += n
		if err != nil || written == len(b) {
			return written, c.explain(err)
		}
		if deadline, again := c.writeDeadline.extend(); again {
			_ = c.TCPConn.SetWriteDeadline(deadline)
		}
	}
}

// explain returns why the dialer closed the connection, if it did and err is the
// result: the caller needs the reason, not that the connection was closed on this side.
func (c *trackedConn) explain(err error) error {
	if reason := c.reason.Load(); reason != nil && errors.Is(err, net.ErrClosed) {
		return *reason
	}
	return err
}

// movedError is why the client closed a connection whose server is no longer the one
// to talk to. The same request on a new connection reaches the right one.
type movedError string

func (e movedError) Error() string { return "connection closed: " + string(e) }

// closeBecause closes the connection. Requests on it fail with the reason.
func (c *trackedConn) closeBecause(reason error) {
	c.reason.CompareAndSwap(nil, &reason)
	_ = c.Close()
}

// Close may be called several times, by go-redis and by the dialer.
func (c *trackedConn) Close() error {
	c.once.Do(func() {
		c.dialer.untrack(c)
		c.err = c.TCPConn.Close()
	})
	return c.err
}
