package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// leaveTimeout bounds how long Serve drains and deregisters when it ends.
	leaveTimeout = 10 * time.Second
	// shutdownTimeout bounds the context that Serve gives to shutdown.
	shutdownTimeout = 30 * time.Second

	// shutdownGrace is how long shutdown and serve may take to return after that.
	shutdownGrace = 2 * time.Second
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
// Leave's error, and the instance goes with its TTL. When ctx ends while Serve
// still joins, what the joining left in the backend is removed, too.
//
// shutdown must make serve return. Its context ends after 30 s, and it must return
// then, as http.Server.Shutdown does; it may set itself an earlier deadline. grpc.Server.GracefulStop waits
// for open streams for ever: use Shutdown of package grpcresolver instead.
// If one of the two has not returned shortly after, Serve closes the listener and
// returns an error that matches context.DeadlineExceeded; their goroutines go on
// until they return. Leaving takes at most 10 s, so Serve returns at most 42 s
// after ctx ended.
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
	ctx, err := AssignID(ctx, &service)
	if err != nil {
		return errors.Join(err, l.Close())
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
			return errors.Join(err, leave(ctx, backend, service.ID, m))
		case <-ctx.Done():
		}
		break
	}
	stopJoining()
	if join != nil {
		m = (<-join).m
	}
	left := leave(ctx, backend, service.ID, m)
	return errors.Join(result, left, shutDown(ctx, l, served, shutdown))
}

// shutDown calls shutdown and waits for it and for serve, whose error is then
// that it was shut down. It gives up on functions that ignore the context:
// an open stream must not keep a process from ending.
func shutDown(ctx context.Context, l net.Listener, served <-chan error, shutdown func(context.Context) error) error {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	down := make(chan error, 1)
	go func() { down <- shutdown(ending) }()
	late := time.NewTimer(shutdownTimeout + shutdownGrace)
	defer late.Stop()
	giveUp := func(what, remedy string) error {
		_ = l.Close() // it may be closed already
		return fmt.Errorf("serve: %s has not returned %s after shutdown began; %s: %w",
			what, shutdownTimeout+shutdownGrace, remedy, context.DeadlineExceeded)
	}
	var err error
	select {
	case err = <-down:
	case <-late.C:
		return giveUp("shutdown", "make it cut open calls when its context ends")
	}
	select {
	case <-served:
		return err
	case <-late.C:
		return errors.Join(err, giveUp("serve", "make shutdown end it"))
	}
}

// leave ends a membership, although ctx has ended. Without one it waits until
// what the ended Join may have registered is removed.
func leave(ctx context.Context, backend Backend, id string, m *Membership) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if m == nil {
		backend.engine().AwaitRollback(ctx, id)
		return nil
	}
	return m.Leave(ctx)
}
