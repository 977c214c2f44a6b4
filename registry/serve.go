package registry

import (
	"context"
	"errors"
	"net"
	"time"
)

const (
	// LeaveTimeout bounds how long Serve drains and deregisters when it ends.
	LeaveTimeout = 10 * time.Second
	// ShutdownTimeout bounds the context that Serve gives to shutdown.
	ShutdownTimeout = 30 * time.Second
)

// Serve joins with the listener's address, runs serve(listener), and when ctx
// ends leaves first (drains, then deregisters), then calls shutdown, so that
// nobody is sent to a server that no longer answers.
//
// Address and Port that service leaves unset are those of AdvertiseAddr. While
// the backend is away the server serves and Serve keeps trying to join. Serve
// returns nil after an orderly end; the error of serve when that ends by
// itself; and the membership's when it was lost to another, after the same
// orderly end. Where the backend does not answer as Serve leaves, it returns
// Leave's error, and the instance goes with its TTL. shutdown must make serve
// return; it gets ShutdownTimeout.
func Serve(ctx context.Context, backend Backend, service ServiceInfo, l net.Listener,
	serve func(net.Listener) error, shutdown func(context.Context) error) error {
	if service.Address == "" || service.Port == 0 {
		host, port, err := AdvertiseAddr(l.Addr())
		if err != nil {
			return errors.Join(err, l.Close())
		}
		if service.Address == "" {
			service.Address = host
		}
		if service.Port == 0 {
			service.Port = port
		}
	}
	served := make(chan error, 1)
	go func() { served <- serve(l) }()

	joining, stopJoining := context.WithCancel(ctx)
	defer stopJoining()
	type joined struct {
		m   *Membership
		err error
	}
	join := make(chan joined, 1)
	go func() {
		m, err := Join(joining, backend, service)
		join <- joined{m, err}
	}()

	var m *Membership
	var lost <-chan struct{}
	var result error
	for {
		select {
		case j := <-join:
			join = nil
			if j.err == nil {
				m, lost = j.m, j.m.Lost()
				continue
			}
			if ctx.Err() == nil {
				result = j.err
			}
		case <-lost:
			result = m.Err()
		case err := <-served:
			stopJoining()
			if join != nil {
				m = (<-join).m
			}
			return errors.Join(err, leave(ctx, m))
		case <-ctx.Done():
		}
		break
	}
	stopJoining()
	if join != nil {
		m = (<-join).m
	}
	left := leave(ctx, m)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), ShutdownTimeout)
	defer cancel()
	down := shutdown(ending)
	<-served // its error is that it was shut down
	return errors.Join(result, left, down)
}

// leave ends a membership, if there is one, although ctx has ended.
func leave(ctx context.Context, m *Membership) error {
	if m == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), LeaveTimeout)
	defer cancel()
	return m.Leave(ctx)
}
