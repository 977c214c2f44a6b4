package grpcresolver

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/resolver"

	"github.com/rollcall-sd/rollcall/registry"
)

// follower implements resolver.Resolver: it hands what a watch yields to a client.
type follower struct {
	target  *target
	cc      resolver.ClientConn
	configs configs
	cancel  context.CancelFunc
	done    chan struct{}

	// Touched by run only.
	told     bool // the client knows shown
	shown    []endpoint
	reported string // the last error, "" for none since the last update
}

func follow(w registry.Watcher, t *target, cc resolver.ClientConn, c configs) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{target: t, cc: cc, configs: c, cancel: cancel, done: make(chan struct{})}
	go f.run(ctx, w)
	return f
}

// ResolveNow does nothing: the watch tells of changes as they come.
func (f *follower) ResolveNow(resolver.ResolveNowOptions) {}

// Close ends the watch and waits for it.
func (f *follower) Close() {
	f.cancel()
	<-f.done
}

func (f *follower) run(ctx context.Context, w registry.Watcher) {
	defer close(f.done)
	for s := range w.Watch(ctx, f.target.name) {
		f.take(s)
	}
	if ctx.Err() == nil {
		f.report(fmt.Errorf("rollcall: the watch of %q has ended: %w", f.target.name, registry.ErrClosed))
	}
}

// take hands a snapshot to the client. When it returns, new calls go by it:
// the watch counts the snapshot as taken once the next one is asked for.
func (f *follower) take(s registry.Snapshot) {
	if s.Stale != nil && s.AsOf.IsZero() { // nothing is known yet
		f.report(fmt.Errorf("rollcall: nothing is known of %q yet: %w", f.target.name, s.Stale))
		return
	}
	list := endpointsOf(f.target.choose(s.Instances))
	f.update(list)
	switch {
	case len(list) == 0 && s.Stale != nil:
		f.report(fmt.Errorf("%w; last known state, as the watch is blind: %w", f.target.nobody(s), s.Stale))
	case len(list) == 0:
		f.report(f.target.nobody(s))
	case s.Stale != nil:
		f.report(fmt.Errorf("rollcall: going on with the last known instances of %q: %w", f.target.name, s.Stale))
	default:
		f.reported = ""
	}
}

// update tells the client of a list that differs from the last.
func (f *follower) update(list []endpoint) {
	if f.told && slices.Equal(list, f.shown) {
		return
	}
	f.told, f.shown, f.reported = true, list, ""
	state := stateOf(list)
	state.ServiceConfig = f.configs.some
	if len(list) == 0 {
		state.ServiceConfig = f.configs.none
	}
	// What a policy has against a list, calls are told; asking again is no cure.
	_ = f.cc.UpdateState(state)
}

// report tells the client of an error, once. Policies keep the instances that
// they have, and show it to calls when they have none.
func (f *follower) report(err error) {
	if text := err.Error(); text != f.reported {
		f.reported = text
		f.cc.ReportError(err)
	}
}
