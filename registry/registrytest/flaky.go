package registrytest

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/bridge"
	"github.com/rollcall-sd/rollcall/registry"
)

// Flaky is a registry.Backend that has its troubles on command, to test what a
// program does about them: an outage (Away), a watch that lost touch (Stale), a
// slow backend (Slow), a competing owner (Supersede). Without a command it is
// the backend that it wraps. It is safe for concurrent use.
//
// A command holds for the calls and watches made through the Flaky, also for
// those begun before, and so for Join, Serve and NewCachedRegistry on it. The
// heartbeats of what is registered go on in the wrapped backend.
type Flaky struct {
	registry.Backend

	mu      sync.Mutex
	away    *trouble
	stale   *trouble
	delay   time.Duration
	closed  bool
	changed chan struct{} // closed and replaced at each command
}

// trouble is the reason of one command; its address tells commands apart.
type trouble struct{ err error }

// NewFlaky wraps a backend. Close of the Flaky closes it.
func NewFlaky(backend registry.Backend) *Flaky {
	return &Flaky{Backend: backend, changed: make(chan struct{})}
}

// Away begins an outage: until Back, every call fails, without reaching the
// backend, with an error that matches registry.ErrUnavailable and err, and every
// watch keeps its last known state, with a Stale that matches the same. A nil
// err means no particular reason. Close works all the same.
func (f *Flaky) Away(err error) {
	f.command(func() { f.away = &trouble{unavailable(err)} })
}

// Stale makes every watch, until Back, keep its last known state with a Stale
// that matches registry.ErrUnavailable and err, while calls go on working, as
// when only the connection of the watches was cut.
func (f *Flaky) Stale(err error) {
	f.command(func() { f.stale = &trouble{unavailable(err)} })
}

// Back ends Away and Stale: calls work and watches yield the newest state.
func (f *Flaky) Back() {
	f.command(func() { f.away, f.stale = nil, nil })
}

// Slow makes each call that begins from now on take d longer, or until its context
// ends; 0 ends that. Watches and Close are not slowed.
func (f *Flaky) Slow(d time.Duration) {
	f.command(func() { f.delay = d })
}

// Supersede tells the membership of that ID, which registry.Join or
// registry.Serve returned for this Flaky or for the backend that it wraps, that
// a newer owner has taken its ID: its heartbeat stops, Lost is closed and Err
// matches registry.ErrSuperseded. It reports whether there is such a membership.
func (f *Flaky) Supersede(id string) bool {
	return bridge.Supersede(f.Backend, id)
}

func unavailable(err error) error {
	if err == nil {
		return fmt.Errorf("registrytest: the flaky backend is away: %w", registry.ErrUnavailable)
	}
	return fmt.Errorf("registrytest: the flaky backend is away: %w: %w", registry.ErrUnavailable, err)
}

func (f *Flaky) command(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

// enter delays a call and says why it fails, if it does.
func (f *Flaky) enter(ctx context.Context) error {
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("registrytest: the flaky backend is slow: %w", context.Cause(ctx))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil && !f.closed {
		return f.away.err
	}
	return nil
}

// Register obeys the commands, then registers with the backend.
func (f *Flaky) Register(ctx context.Context, service registry.ServiceInfo) error {
	if err := f.enter(ctx); err != nil {
		return err
	}
	return f.Backend.Register(ctx, service)
}

// Deregister obeys the commands, then deregisters with the backend.
func (f *Flaky) Deregister(ctx context.Context, serviceID string) error {
	if err := f.enter(ctx); err != nil {
		return err
	}
	return f.Backend.Deregister(ctx, serviceID)
}

// Discover obeys the commands, then asks the backend.
func (f *Flaky) Discover(ctx context.Context, serviceName string) ([]registry.ServiceInfo, error) {
	if err := f.enter(ctx); err != nil {
		return nil, err
	}
	return f.Backend.Discover(ctx, serviceName)
}

// Snapshot obeys the commands, then asks the backend.
func (f *Flaky) Snapshot(ctx context.Context, serviceName string) (registry.Snapshot, error) {
	if err := f.enter(ctx); err != nil {
		return registry.Snapshot{}, err
	}
	return f.Backend.Snapshot(ctx, serviceName)
}

// Instances obeys the commands, then asks the backend.
func (f *Flaky) Instances(ctx context.Context, serviceName string) ([]registry.Instance, error) {
	if err := f.enter(ctx); err != nil {
		return nil, err
	}
	return f.Backend.Instances(ctx, serviceName)
}

// Services obeys the commands, then asks the backend.
func (f *Flaky) Services(ctx context.Context) ([]string, error) {
	if err := f.enter(ctx); err != nil {
		return nil, err
	}
	return f.Backend.Services(ctx)
}

// Watch is the backend's, made stale by Away and Stale. To the backend a state
// counts as taken as soon as the Flaky has it.
func (f *Flaky) Watch(ctx context.Context, serviceName string) iter.Seq[registry.Snapshot] {
	return flakyWatch[registry.Snapshot]{
		f: f,
		states: func(ctx context.Context) iter.Seq[registry.Snapshot] {
			return f.Backend.Watch(ctx, serviceName)
		},
		nothing: registry.Snapshot{Service: serviceName, Instances: []registry.ServiceInfo{}},
		stale:   func(s registry.Snapshot) error { return s.Stale },
		mark: func(s registry.Snapshot, err error) registry.Snapshot {
			// Field by field: what keeps AsOf moving must not come along.
			return registry.Snapshot{
				Service: s.Service, Instances: s.Instances, Others: s.Others, Revision: s.Revision, AsOf: s.AsOf, Stale: err,
			}
		},
	}.seq(ctx)
}

// WatchServices is the backend's, under the rules of Watch.
func (f *Flaky) WatchServices(ctx context.Context) iter.Seq[registry.Catalog] {
	return flakyWatch[registry.Catalog]{
		f:       f,
		states:  f.Backend.WatchServices,
		nothing: registry.Catalog{Names: []string{}},
		stale:   func(c registry.Catalog) error { return c.Stale },
		mark:    func(c registry.Catalog, err error) registry.Catalog { c.Stale = err; return c },
	}.seq(ctx)
}

// Close closes the backend, whatever the commands.
func (f *Flaky) Close() error {
	f.command(func() { f.closed = true })
	return f.Backend.Close()
}

// blind returns what makes watches stale, if anything, and what is closed at the next command.
func (f *Flaky) blind() (*trouble, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		return f.away, f.changed
	}
	return f.stale, f.changed
}

// SetStatus implements registry.Backend.
func (f *Flaky) SetStatus(ctx context.Context, serviceID string, status registry.Status, note string) error {
	if err := f.enter(ctx); err != nil {
		return err
	}
	return f.Backend.SetStatus(ctx, serviceID, status, note)
}

// Drain implements registry.Backend.
func (f *Flaky) Drain(ctx context.Context, serviceID string) error {
	if err := f.enter(ctx); err != nil {
		return err
	}
	return f.Backend.Drain(ctx, serviceID)
}

// Undrain implements registry.Backend.
func (f *Flaky) Undrain(ctx context.Context, serviceID string) error {
	if err := f.enter(ctx); err != nil {
		return err
	}
	return f.Backend.Undrain(ctx, serviceID)
}
