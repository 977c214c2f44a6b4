package grpcresolver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/rollcall-sd/rollcall/internal/selector"
	"github.com/rollcall-sd/rollcall/registry"
)

// follower implements resolver.Resolver: it hands what a watch yields to a client.
type follower struct {
	target  *target
	cc      resolver.ClientConn
	config  *serviceconfig.ParseResult // nil where the client takes none
	proxied bool                       // connections may go through a proxy
	memory  *memory
	cancel  context.CancelFunc
	done    chan struct{}

	// Touched by run only.
	known    *registry.Snapshot // the last one that was not empty for want of knowledge
	sent     bool               // the client knows shown and reason
	shown    []endpoint
	reason   string // why shown is empty
	reported string // the last error, "" for none since the last update
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
	f.known = f.memory.recall(f.target.key())
	var last error
	for s := range w.Watch(ctx, f.target.name) {
		last = s.Stale
		f.take(s)
	}
	f.memory.keep(f.target.key(), f.known)
	if ctx.Err() != nil {
		return
	}
	// A watch that ends by itself has said why: a name that cannot be, or a closed registry.
	if last == nil {
		last = registry.ErrClosed
	}
	f.report(fmt.Errorf("rollcall: the watch of %q has ended: %w", f.target.name, last))
}

// take hands a snapshot to the client. When it returns, new calls go by it:
// the watch counts the snapshot as taken once the next one is asked for.
func (f *follower) take(s registry.Snapshot) {
	if s.Stale != nil && s.AsOf.IsZero() { // nothing is known yet
		if errors.Is(s.Stale, registry.ErrInvalidService) || errors.Is(s.Stale, registry.ErrClosed) {
			return // the watch ends, and run says why
		}
		if f.known == nil {
			f.report(fmt.Errorf("rollcall: nothing is known of %q yet: %w", f.target.name, s.Stale))
			return
		}
		// Known from before the client was idle.
		stale := s.Stale
		s = *f.known
		s.Stale = stale
	} else {
		known := s
		f.known = &known
	}
	s.Instances = selector.NewestPerAddress(&s)
	list := endpointsOf(f.target.choose(s.Instances))
	if len(list) > 0 {
		f.update(list, nil)
		if s.Stale != nil {
			f.report(fmt.Errorf("rollcall: going on with the last known instances of %q: %w", f.target.name, s.Stale))
			return
		}
		f.reported = ""
		return
	}
	reason := f.target.noInstances(s)
	if s.Stale != nil {
		reason = fmt.Errorf("%w; last known state, as the watch is blind: %w", reason, s.Stale)
	}
	f.update(nil, reason)
	if f.config == nil {
		f.report(reason)
	}
}

// update tells the client of a list, and why it is empty, when that differs from the last.
func (f *follower) update(list []endpoint, reason error) {
	text := ""
	if reason != nil {
		text = reason.Error()
	}
	if f.sent && f.reason == text && slices.Equal(list, f.shown) {
		return
	}
	f.sent, f.shown, f.reason, f.reported = true, list, text, ""
	var state resolver.State
	if f.config == nil || f.proxied {
		state = stateOf(list)
	}
	state.ServiceConfig = f.config
	state.Attributes = attributes.New(listingKey{}, &listing{list, reason})
	// If a policy refuses a list, calls fail with its error. Resolving again does not help.
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

// memory keeps what clients knew when they became idle, by target: should the
// backend be unavailable when they are used again, they go on with that.
type memory struct {
	mu    sync.Mutex
	known map[string]*registry.Snapshot
}

// maxRemembered bounds the targets that a memory keeps.
const maxRemembered = 100

func (m *memory) recall(key string) *registry.Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[key]
}

func (m *memory) keep(key string, s *registry.Snapshot) {
	if s == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = make(map[string]*registry.Snapshot)
	}
	for other := range m.known {
		if len(m.known) < maxRemembered {
			break
		}
		delete(m.known, other)
	}
	m.known[key] = s
}
