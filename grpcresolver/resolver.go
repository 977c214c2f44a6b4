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

// watchResolver implements resolver.Resolver. It passes what a watch yields to a
// client.
type watchResolver struct {
	target  *target
	cc      resolver.ClientConn
	config  *serviceconfig.ParseResult // nil where the client takes none
	proxied bool                       // connections may go through a proxy
	memory  *memory
	cancel  context.CancelFunc
	done    chan struct{}

	// Used by run only.
	known    *registry.Snapshot // the last snapshot that a watch had read
	sent     bool               // the client knows shown and reason
	shown    []endpoint
	reason   string // why shown is empty
	reported string // the last error, "" for none since the last update
}

// ResolveNow does nothing: the watch yields changes as they come.
func (r *watchResolver) ResolveNow(resolver.ResolveNowOptions) {}

// Close ends the watch and waits for it.
func (r *watchResolver) Close() {
	r.cancel()
	<-r.done
}

func (r *watchResolver) run(ctx context.Context, w registry.Watcher) {
	defer close(r.done)
	r.known = r.memory.recall(r.target.key())
	var last error
	for s := range w.Watch(ctx, r.target.name) {
		last = s.Stale
		r.apply(s)
	}
	r.memory.keep(r.target.key(), r.known)
	if ctx.Err() != nil {
		return
	}
	// A watch that ends by itself has said why: a name that cannot be, or a closed registry.
	if last == nil {
		last = registry.ErrClosed
	}
	r.report(fmt.Errorf("rollcall: the watch of %q has ended: %w", r.target.name, last))
}

// apply passes a snapshot to the client. When it returns, new calls use it. The
// watch counts a snapshot as acknowledged when the next one is asked for.
func (r *watchResolver) apply(s registry.Snapshot) {
	if s.Stale != nil && s.AsOf.IsZero() { // nothing is known yet
		if errors.Is(s.Stale, registry.ErrInvalidService) || errors.Is(s.Stale, registry.ErrClosed) {
			return // the watch ends, and run says why
		}
		if r.known == nil {
			r.report(fmt.Errorf("rollcall: nothing is known of %q yet: %w", r.target.name, s.Stale))
			return
		}
		// Known from before the client was idle.
		stale := s.Stale
		s = *r.known
		s.Stale = stale
	} else {
		known := s
		r.known = &known
	}
	s.Instances = selector.NewestPerAddress(&s)
	list := endpointsOf(r.target.choose(s.Instances))
	if len(list) > 0 {
		r.update(list, nil)
		if s.Stale != nil {
			r.report(fmt.Errorf("rollcall: using the last known instances of %q: %w", r.target.name, s.Stale))
			return
		}
		r.reported = ""
		return
	}
	reason := r.target.noInstances(&s)
	if s.Stale != nil {
		reason = fmt.Errorf("%w, as far as is known: %w", reason, s.Stale)
	}
	r.update(nil, reason)
	if r.config == nil {
		r.report(reason)
	}
}

// update passes a list to the client, and why it is empty, if they differ from the
// last.
func (r *watchResolver) update(list []endpoint, reason error) {
	text := ""
	if reason != nil {
		text = reason.Error()
	}
	if r.sent && r.reason == text && slices.Equal(list, r.shown) {
		return
	}
	r.sent, r.shown, r.reason, r.reported = true, list, text, ""
	var state resolver.State
	if r.config == nil || r.proxied {
		state = stateOf(list)
	}
	state.ServiceConfig = r.config
	state.Attributes = attributes.New(listingKey{}, &listing{list, reason})
	// If a policy refuses a list, calls fail with its error. Resolving again does not help.
	_ = r.cc.UpdateState(state)
}

// report passes an error to the client, once. Policies keep the instances that
// they have, and fail calls with it when they have none.
func (r *watchResolver) report(err error) {
	if text := err.Error(); text != r.reported {
		r.reported = text
		r.cc.ReportError(err)
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
