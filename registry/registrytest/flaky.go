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

// Flaky is a registry.Backend that fails on command, to test how a program
// behaves: when the backend is unavailable (Disconnect), when only its watches are
// (DisconnectWatches), when it is slow (SetDelay), and when a newer owner takes over
// an ID (Supersede). Without a command it behaves like the backend that it wraps. It
// is safe for concurrent use.
//
// A command applies to the calls and watches made through the Flaky, also to those
// begun before, and so to Join, Serve and NewCachedRegistry on it. The heartbeats
// of its registrations continue in the wrapped backend.
type Flaky struct {
	registry.Backend

	mu                  sync.Mutex
	disconnected        *outage
	watchesDisconnected *outage
	delay               time.Duration
	closed              bool
	changed             chan struct{} // closed and replaced at each command
}

// outage is the reason of one command; its address identifies the command.
type outage struct{ err error }

// NewFlaky wraps a backend. Close of the Flaky closes it.
func NewFlaky(backend registry.Backend) *Flaky {
	return &Flaky{Backend: backend, changed: make(chan struct{})}
}

// Disconnect makes the backend unavailable until Reconnect: every call fails,
// without reaching the backend, with an error that matches
// registry.ErrUnavailable and err, and every watch keeps its last known state,
// with a Stale that matches the same. A nil err means no particular reason. Close
// still works.
func (f *Flaky) Disconnect(err error) {
	f.apply(func() { f.disconnected = &outage{unavailable(err)} })
}

// DisconnectWatches makes every watch keep its last known state until Reconnect,
// with a Stale that matches registry.ErrUnavailable and err. Calls continue to
// work, as when only the connection of the watches was cut.
func (f *Flaky) DisconnectWatches(err error) {
	f.apply(func() { f.watchesDisconnected = &outage{unavailable(err)} })
}

// Reconnect ends Disconnect and DisconnectWatches: calls work and watches yield
// the newest state.
func (f *Flaky) Reconnect() {
	f.apply(func() { f.disconnected, f.watchesDisconnected = nil, nil })
}

// SetDelay makes each call that begins from now on take d longer, or until its
// context ends. 0 ends the delay. It does not apply to watches and Close.
func (f *Flaky) SetDelay(d time.Duration) {
	f.apply(func() { f.delay = d })
}

// Supersede ends the registration of an ID as if another process had registered
// that ID: its heartbeat stops, and Membership.Lost and Backend.NotifyLost report
// registry.ErrSuperseded. The instance remains in the backend. It reports whether the
// wrapped backend had such a registration.
func (f *Flaky) Supersede(id string) bool {
	return bridge.Supersede(f.Backend, id)
}

func unavailable(err error) error {
	if err == nil {
		return fmt.Errorf("flaky backend is disconnected: %w", registry.ErrUnavailable)
	}
	return fmt.Errorf("flaky backend is disconnected: %w: %w", registry.ErrUnavailable, err)
}

func (f *Flaky) apply(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

// begin delays a call and returns the error with which it must fail, if any.
func (f *Flaky) begin(ctx context.Context) error {
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("flaky backend is delayed: %w", context.Cause(ctx))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.disconnected != nil && !f.closed {
		return f.disconnected.err
	}
	return nil
}

// Register obeys the commands, then registers with the backend.
func (f *Flaky) Register(ctx context.Context, service registry.ServiceInfo) error {
	if err := f.begin(ctx); err != nil {
		return err
	}
	return f.Backend.Register(ctx, service)
}

// Deregister obeys the commands, then deregisters with the backend.
func (f *Flaky) Deregister(ctx context.Context, serviceID string) error {
	if err := f.begin(ctx); err != nil {
		return err
	}
	return f.Backend.Deregister(ctx, serviceID)
}

// Discover obeys the commands, then asks the backend.
func (f *Flaky) Discover(ctx context.Context, serviceName string) ([]registry.ServiceInfo, error) {
	if err := f.begin(ctx); err != nil {
		return nil, err
	}
	return f.Backend.Discover(ctx, serviceName)
}

// Snapshot obeys the commands, then asks the backend.
func (f *Flaky) Snapshot(ctx context.Context, serviceName string) (registry.Snapshot, error) {
	if err := f.begin(ctx); err != nil {
		return registry.Snapshot{}, err
	}
	return f.Backend.Snapshot(ctx, serviceName)
}

// Instances obeys the commands, then asks the backend.
func (f *Flaky) Instances(ctx context.Context, serviceName string) ([]registry.Instance, error) {
	if err := f.begin(ctx); err != nil {
		return nil, err
	}
	return f.Backend.Instances(ctx, serviceName)
}

// Services obeys the commands, then asks the backend.
func (f *Flaky) Services(ctx context.Context) ([]string, error) {
	if err := f.begin(ctx); err != nil {
		return nil, err
	}
	return f.Backend.Services(ctx)
}

// Watch is the backend's, made stale by Disconnect and DisconnectWatches. To the
// backend a state counts as acknowledged as soon as the Flaky has it.
func (f *Flaky) Watch(ctx context.Context, serviceName string) iter.Seq[registry.Snapshot] {
	return flakyWatch[registry.Snapshot]{
		f: f,
		states: func(ctx context.Context) iter.Seq[registry.Snapshot] {
			return f.Backend.Watch(ctx, serviceName)
		},
		unknown: registry.Snapshot{Service: serviceName, Instances: []registry.ServiceInfo{}},
		staleOf: func(s registry.Snapshot) error { return s.Stale },
		withStale: func(s registry.Snapshot, err error) registry.Snapshot {
			// Field by field: the copy must not share what keeps AsOf current.
			return registry.Snapshot{
				Service: s.Service, Instances: s.Instances, Others: s.Others, Revision: s.Revision, AsOf: s.AsOf, Stale: err,
			}
		},
	}.seq(ctx)
}

// WatchServices is the backend's, under the rules of Watch.
func (f *Flaky) WatchServices(ctx context.Context) iter.Seq[registry.Catalog] {
	return flakyWatch[registry.Catalog]{
		f:         f,
		states:    f.Backend.WatchServices,
		unknown:   registry.Catalog{Names: []string{}},
		staleOf:   func(c registry.Catalog) error { return c.Stale },
		withStale: func(c registry.Catalog, err error) registry.Catalog { c.Stale = err; return c },
	}.seq(ctx)
}

// Close closes the backend, whatever the commands.
func (f *Flaky) Close() error {
	f.apply(func() { f.closed = true })
	return f.Backend.Close()
}

// disconnection returns what makes watches stale, if anything, and a channel that
// is closed at the next command.
func (f *Flaky) disconnection() (*outage, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.disconnected != nil {
		return f.disconnected, f.changed
	}
	return f.watchesDisconnected, f.changed
}

// SetStatus implements registry.Backend.
func (f *Flaky) SetStatus(ctx context.Context, serviceID string, status registry.Status, note string) error {
	if err := f.begin(ctx); err != nil {
		return err
	}
	return f.Backend.SetStatus(ctx, serviceID, status, note)
}

// Drain implements registry.Backend.
func (f *Flaky) Drain(ctx context.Context, serviceID string) error {
	if err := f.begin(ctx); err != nil {
		return err
	}
	return f.Backend.Drain(ctx, serviceID)
}

// Undrain implements registry.Backend.
func (f *Flaky) Undrain(ctx context.Context, serviceID string) error {
	if err := f.begin(ctx); err != nil {
		return err
	}
	return f.Backend.Undrain(ctx, serviceID)
}

// Events implements registry.Backend.
func (f *Flaky) Events(ctx context.Context, serviceName string) ([]registry.Event, error) {
	if err := f.begin(ctx); err != nil {
		return nil, err
	}
	return f.Backend.Events(ctx, serviceName)
}
