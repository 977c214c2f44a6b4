package redisclient

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// failedConn is a connection that could not be made: its first use fails.
//
// It stands in for an error of a dial. After as many failed dials as the pool has
// places, go-redis answers every call with an old error until one of its
// goroutines, which sleeps 1 s per try and outlives Close, has connected again.
type failedConn struct {
	addr failedAddr
	err  error
}

func newFailedConn(addr string, cause error) *failedConn {
	return &failedConn{addr: failedAddr(addr), err: newDialError(failedAddr(addr), cause)}
}

func (c *failedConn) Read([]byte) (int, error)         { return 0, c.err }
func (c *failedConn) Write([]byte) (int, error)        { return 0, c.err }
func (c *failedConn) Close() error                     { return nil }
func (c *failedConn) LocalAddr() net.Addr              { return c.addr }
func (c *failedConn) RemoteAddr() net.Addr             { return c.addr }
func (c *failedConn) SetDeadline(time.Time) error      { return nil }
func (c *failedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *failedConn) SetWriteDeadline(time.Time) error { return nil }

type failedAddr string

func (a failedAddr) Network() string { return "tcp" }
func (a failedAddr) String() string  { return string(a) }

// dialError is a net.Error. It wraps a *net.OpError once more because go-redis
// strips one layer off what fails while it sets a connection up.
type dialError struct{ op *net.OpError }

func newDialError(addr net.Addr, cause error) *dialError {
	// go-redis treats context.DeadlineExceeded as the caller's own and would
	// not try another node of a Cluster.
	var timeout net.Error
	if errors.Is(cause, context.DeadlineExceeded) || errors.As(cause, &timeout) && timeout.Timeout() {
		cause = dialTimeoutError{cause.Error()}
	} else if op, ok := cause.(*net.OpError); ok {
		return &dialError{op: op}
	}
	return &dialError{op: &net.OpError{Op: "dial", Net: addr.Network(), Addr: addr, Err: cause}}
}

// dialTimeoutError is a timeout of this package, not of the caller's context.
type dialTimeoutError struct{ text string }

func (e dialTimeoutError) Error() string        { return e.text }
func (e dialTimeoutError) Timeout() bool        { return true }
func (e dialTimeoutError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

func (e *dialError) Error() string   { return e.op.Error() }
func (e *dialError) Unwrap() error   { return e.op }
func (e *dialError) Timeout() bool   { return e.op.Timeout() }
func (e *dialError) Temporary() bool { return e.op.Timeout() }
