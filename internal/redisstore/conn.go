package redisstore

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// trackedConn is an open socket that its dialer knows. It stays a
// syscall.Conn, with which go-redis sees whether an idle one was cut.
//
// Its deadlines count silence: as long as bytes move, each is put off by as long
// as it was away when it was set. So what takes long on a slow line arrives, and
// a line that stands is noticed as soon as ever.
type trackedConn struct {
	*net.TCPConn
	dialer *dialer
	addr   string
	role   connRole
	once   sync.Once
	err    error

	reading, writing silence
}

const (
	// pieceBytes is how much is written at a time, so that progress is noticed.
	pieceBytes = 32 << 10
	// unsentBytes bounds what the kernel holds of a request that is not sent yet: what
	// lies there does not tell whether it moves.
	unsentBytes = 128 << 10
)

// silence is a deadline that progress puts off.
type silence struct {
	patience atomic.Int64 // ns; 0: there is no deadline
	set      atomic.Int64 // ns since the epoch, when it was set or put off
	putOff   atomic.Bool
}

func (s *silence) begin(deadline time.Time) {
	s.putOff.Store(false)
	if deadline.IsZero() {
		s.patience.Store(0)
		return
	}
	now := time.Now()
	s.patience.Store(max(0, deadline.Sub(now).Nanoseconds()))
	s.set.Store(now.UnixNano())
}

// moved returns the deadline from now on, if it is worth setting again.
func (s *silence) moved() (deadline time.Time, again bool) {
	patience := s.patience.Load()
	now := time.Now()
	if patience == 0 || now.UnixNano()-s.set.Load() < patience/8 {
		return time.Time{}, false
	}
	s.set.Store(now.UnixNano())
	s.putOff.Store(true)
	return now.Add(time.Duration(patience)), true
}

// SetDeadline implements net.Conn.
func (c *trackedConn) SetDeadline(t time.Time) error {
	c.reading.begin(t)
	c.writing.begin(t)
	return c.TCPConn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn. The reply to a request that was long in
// sending is waited for as long as its sending was.
func (c *trackedConn) SetReadDeadline(t time.Time) error {
	if c.writing.putOff.Load() && !t.IsZero() {
		if least := time.Now().Add(time.Duration(c.writing.patience.Load())); t.Before(least) {
			t = least
		}
	}
	c.reading.begin(t)
	return c.TCPConn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *trackedConn) SetWriteDeadline(t time.Time) error {
	c.writing.begin(t)
	return c.TCPConn.SetWriteDeadline(t)
}

// Read implements net.Conn.
func (c *trackedConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if n > 0 {
		if deadline, again := c.reading.moved(); again {
			_ = c.TCPConn.SetReadDeadline(deadline)
		}
	}
	return n, err
}

// Write implements net.Conn.
func (c *trackedConn) Write(b []byte) (int, error) {
	written := 0
	for {
		n, err := c.TCPConn.Write(b[written:min(len(b), written+pieceBytes)])
		written += n
		if err != nil || written == len(b) {
			return written, err
		}
		if deadline, again := c.writing.moved(); again {
			_ = c.TCPConn.SetWriteDeadline(deadline)
		}
	}
}

// Close may be called several times, by go-redis and by the dialer.
func (c *trackedConn) Close() error {
	c.once.Do(func() {
		c.dialer.forget(c)
		c.err = c.TCPConn.Close()
	})
	return c.err
}
