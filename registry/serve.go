package registry

import (
	"cmp"
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

	// shutdownGrace is how long shutdown and serve may take to return after shutdownTimeout.
	shutdownGrace = 2 * time.Second
)

// Serve joins with the listener's address, runs serve(listener), and when ctx
// ends leaves first (drains, then deregisters), then calls shutdown, so that no client
// is sent to a server that no longer answers.
//
// A nil argument is refused with an error that matches ErrInvalidConfig.
//
// If service has no Address or Port, they are those of AdvertiseAddr. While the backend
// is unavailable the server serves and Serve keeps trying to join. Serve returns
// nil after an orderly end, serve's error if serve returns by itself, and the
// membership's error if it was lost, after the same orderly end. If the backend is
// unavailable when Serve leaves, Serve returns Leave's error, and the instance
// expires with its TTL. If ctx ends while Serve is still joining, it also removes
// what the attempts may have left in the backend.
//
// shutdown must make serve return. Its context ends after 30 s, and it must return
// then, as http.Server.Shutdown does; it may set itself an earlier deadline.
// grpc.Server.GracefulStop waits for open streams for ever: use Shutdown of package
// grpcresolver instead. If shutdown or serve has not returned after another 2 s,
// Serve closes the listener and returns an error that matches
// context.DeadlineExceeded; their goroutines run until they return. Leaving takes at
// most 10 s, so Serve returns at most 42 s after ctx ended.
func Serve(ctx context.Context, backend Backend, service ServiceInfo, l net.Listener,
	serve func(net.Listener) error, shutdown func(context.Context) error) error {
	if err := checkServe(ctx, backend, l, serve, shutdown); err != nil {
		return err
	}
	service, err := withAdvertised(service, l.Addr())
	if err == nil {
		ctx, err = AssignID(ctx, &service)
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	served := make(chan error, 1)
	go func() { served <- serve(l) }()
	join := startJoin(ctx, backend, service)
	returned, err := awaitEnd(ctx, join, served)
	left := leave(ctx, backend, service.ID, join.finish())
	if returned {
		return errors.Join(err, left)
	}
	return errors.Join(err, left, shutDown(ctx, l, served, shutdown))
}

// checkServe refuses nil arguments: a call of one would end the program. It closes the listener.
func checkServe(ctx context.Context, backend Backend, l net.Listener,
	serve func(net.Listener) error, shutdown func(context.Context) error) error {
	var err error
	switch {
	case l == nil:
		return invalidConfig("Serve: l", "is nil; pass the listener of the server")
	case ctx == nil:
		err = invalidConfig("Serve: ctx", "is nil; pass a context that ends when the server is to stop")
	case backend == nil:
		err = invalidConfig("Serve: backend", "is nil; pass the result of Open")
	case serve == nil:
		err = invalidConfig("Serve: serve", "is nil; pass the server's method, such as http.Server.Serve")
	case shutdown == nil:
		err = invalidConfig("Serve: shutdown", "is nil; pass the server's method, such as http.Server.Shutdown")
	default:
		return nil
	}
	return errors.Join(err, l.Close())
}

// withAdvertised sets Address and Port where they are unset.
func withAdvertised(service ServiceInfo, addr net.Addr) (ServiceInfo, error) {
	if service.Address != "" && service.Port != 0 {
		return service, nil
	}
	host, port, err := AdvertiseAddr(addr)
	if err != nil {
		return service, err
	}
	service.Address = cmp.Or(service.Address, host)
	service.Port = cmp.Or(service.Port, port)
	return service, nil
}

// pendingJoin is a Join in the background.
type pendingJoin struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when m and err are set
	m      *Membership
	err    error
}

func startJoin(ctx context.Context, backend Backend, service ServiceInfo) *pendingJoin {
	ctx, cancel := context.WithCancel(ctx)
	j := &pendingJoin{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(j.done)
		j.m, j.err = Join(ctx, backend, service)
	}()
	return j
}

// finish cancels the Join if it has not returned, and returns its membership or nil.
func (j *pendingJoin) finish() *Membership {
	j.cancel()
	<-j.done
	return j.m
}

// awaitEnd waits until serve returns, ctx ends, or the registration is refused or lost.
// returned reports that serve returned, with err.
func awaitEnd(ctx context.Context, join *pendingJoin, served <-chan error) (returned bool, err error) {
	joined := join.done
	var lost <-chan struct{}
	for {
		select {
		case <-joined:
			if join.err != nil && ctx.Err() != nil {
				return false, nil
			}
			if join.err != nil {
				return false, join.err
			}
			joined, lost = nil, join.m.Lost()
		case <-lost:
			return false, join.m.Err()
		case err := <-served:
			return true, err
		case <-ctx.Done():
			return false, nil
		}
	}
}

// shutDown calls shutdown and waits for it and for serve, whose error then only says
// that it was shut down. It does not wait for functions that ignore the context: an
// open stream must not keep a process from ending.
func shutDown(ctx context.Context, l net.Listener, served <-chan error, shutdown func(context.Context) error) error {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	down := make(chan error, 1)
	go func() { down <- shutdown(ending) }()
	late := time.NewTimer(shutdownTimeout + shutdownGrace)
	defer late.Stop()
	giveUp := func(what, remedy string) error {
		_ = l.Close() // it may already be closed
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

// leave ends a membership although ctx has ended. Without one it waits for the removal
// of what the cancelled Join may have registered.
func leave(ctx context.Context, backend Backend, id string, m *Membership) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if m == nil {
		if e := backend.engine(); e != nil {
			e.AwaitRollback(ctx, id)
		}
		return nil
	}
	return m.Leave(ctx)
}
