package registry

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/internal/bridge"
	"github.com/rollcall-sd/rollcall/internal/core"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// base is what the backends share: the public methods on an engine.
type base struct{ core *core.Engine }

func (b *base) engine() *core.Engine { return b.core }

func init() {
	bridge.Supersede = func(backend any, id string) bool {
		s, ok := backend.(sealed)
		return ok && s.engine().Supersede(id)
	}
}

// newOwner makes the id by which a registry's own registrations are told from
// everybody else's: 50 random bits.
func newOwner() string {
	var b [7]byte
	rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))[:10]
}

// newEngine starts the logic on a store.
func newEngine(s store.Store, ttl, beat time.Duration, logger *slog.Logger, o *Observer) *core.Engine {
	return core.New(core.Config{
		Store: s, TTL: ttl, HeartbeatInterval: beat, Logger: logger, Hooks: o.hooks(), Decode: new(recent).decodeRecord,
	})
}

func (known *recent) decodeRecord(group string, r *store.Record) (any, error) {
	if group == store.Catalog {
		return r.ID, nil
	}
	s, err := decodeService(group, r.ID, r.RegisteredAt, r.Payload, known.of(group))
	if err != nil {
		return nil, err
	}
	r.Payload = nil // the value stands for it from now on
	return newStored(&s), nil
}

// Register implements Registry.
func (b *base) Register(ctx context.Context, service ServiceInfo) error {
	ctx, err := AssignID(ctx, &service)
	if err != nil {
		return err
	}
	return b.register(ctx, service, ctx.Value(freshID{}) == service.ID)
}

// freshID is the key of a context's value that says which ID was generated for
// the call, wherever in a row of decorators that happened: nobody else has it.
type freshID struct{}

// AssignID gives service an ID if it has none. It is for decorators that must
// know the ID which Register generates: call it in your Register, and pass the
// context that it returns on to the backend's, which then knows that the ID is
// new and need not look for it under other names.
func AssignID(ctx context.Context, service *ServiceInfo) (context.Context, error) {
	if service.ID != "" {
		return ctx, nil
	}
	id, err := store.NewID()
	if err != nil {
		return ctx, failed("generate an ID for an instance of", service.Name, err)
	}
	service.ID = id
	return context.WithValue(ctx, freshID{}, service.ID), nil
}

func (b *base) register(ctx context.Context, service ServiceInfo, fresh bool) error {
	if b.closed() {
		return failed("register an instance of", service.Name, ErrClosed)
	}
	if err := validateService(service); err != nil {
		return err
	}
	payload, err := encodeService(service)
	if err != nil {
		return err
	}
	registering := core.RegisterRequest{Service: service.Name, ID: service.ID, NewID: fresh, Payload: payload}
	if b.core.Local() {
		// Readers get this very value: it is what they would decode.
		value, err := decodeService(service.Name, service.ID, 0, payload, nil)
		if err != nil {
			return err
		}
		registering.Decoded = newStored(&value)
	}
	if service.Status != "" {
		registering.ResetOverlay = []string{memberHealth, memberNote}
	}
	err = b.core.Register(ctx, registering)
	return failed("register an instance of", service.Name, err)
}

// Deregister implements Registry.
func (b *base) Deregister(ctx context.Context, serviceID string) error {
	if b.closed() {
		return failed("deregister", serviceID, ErrClosed)
	}
	if err := validateID(serviceID); err != nil {
		return err
	}
	err := b.core.Deregister(ctx, serviceID)
	return failed("deregister", serviceID, err)
}

// Discover implements Registry.
func (b *base) Discover(ctx context.Context, serviceName string) ([]ServiceInfo, error) {
	var s Snapshot
	if err := b.read(ctx, "discover", serviceName, &s); err != nil {
		return nil, err
	}
	return cloneServices(s.Instances), nil
}

// Snapshot implements Backend.
func (b *base) Snapshot(ctx context.Context, serviceName string) (snap Snapshot, err error) {
	err = b.read(ctx, "read", serviceName, &snap)
	return snap, err
}

// read writes its result in place: copying it takes a good part of what reading memory does.
func (b *base) read(ctx context.Context, call, serviceName string, snap *Snapshot) error {
	if b.closed() {
		return failed(call, serviceName, ErrClosed)
	}
	if err := validateName("Name", serviceName); err != nil {
		return err
	}
	view, err := b.core.Read(ctx, serviceName)
	if err != nil {
		return failed(call, serviceName, err)
	}
	snap.show(serviceName, &view)
	return nil
}

// Instances implements Backend.
func (b *base) Instances(ctx context.Context, serviceName string) ([]Instance, error) {
	if b.closed() {
		return nil, failed("list instances of", serviceName, ErrClosed)
	}
	if err := validateName("Name", serviceName); err != nil {
		return nil, err
	}
	entries, err := b.core.ReadLeases(ctx, serviceName)
	if err != nil {
		return nil, failed("list instances of", serviceName, err)
	}
	out := make([]Instance, len(entries))
	for i, e := range entries {
		info, over := visible(e)
		out[i] = Instance{ServiceInfo: info.Clone(), Note: over.note(info.Status), Revision: e.Revision()}
		if e.ExpiresAt > 0 {
			out[i].ExpiresAt = time.UnixMicro(e.ExpiresAt).UTC()
		}
	}
	return out, nil
}

// Services implements Backend.
func (b *base) Services(ctx context.Context) ([]string, error) {
	view, err := b.core.Read(ctx, store.Catalog)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	return append([]string{}, namesOf(view)...), nil
}

// Watch implements Watcher.
func (b *base) Watch(ctx context.Context, serviceName string) iter.Seq[Snapshot] {
	return func(yield func(Snapshot) bool) {
		if b.closed() {
			yield(emptySnapshot(serviceName, failed("watch", serviceName, ErrClosed)))
			return
		}
		if err := validateName("Name", serviceName); err != nil {
			yield(emptySnapshot(serviceName, err))
			return
		}
		for view := range b.core.Watch(ctx, serviceName) {
			var snap Snapshot
			snap.show(serviceName, &view)
			if !yield(snap) {
				return
			}
		}
	}
}

// WatchServices implements Backend.
func (b *base) WatchServices(ctx context.Context) iter.Seq[Catalog] {
	return func(yield func(Catalog) bool) {
		if b.closed() {
			yield(Catalog{Names: []string{}, Stale: failed("watch", "services", ErrClosed)})
			return
		}
		for view := range b.core.Watch(ctx, store.Catalog) {
			if !yield(Catalog{Names: namesOf(view), Revision: view.Revision, AsOf: view.AsOf, Stale: view.Stale}) {
				return
			}
		}
	}
}

// NotifyLost implements Backend.
func (b *base) NotifyLost(serviceID string, lost func(error)) (stop func()) {
	return b.core.OnLoss(serviceID, func(how core.Loss) {
		reason := ErrDeregistered
		if how == core.LossSuperseded {
			reason = ErrSuperseded
		}
		lost(failed("registration of", serviceID, reason))
	})
}

func (b *base) closed() bool { return b.core.Closed() }
