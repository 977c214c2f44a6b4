package registry

import (
	"cmp"
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

// coreBackend implements Backend, Close aside, on an engine. LocalRegistry and
// RedisRegistry differ in the engine's store only. The zero value is closed.
type coreBackend struct{ core *core.Engine }

// engine returns nil for the zero value.
func (b *coreBackend) engine() *core.Engine { return b.core }

func init() {
	bridge.Supersede = func(backend any, id string) bool {
		s, ok := backend.(sealed)
		return ok && s.engine() != nil && s.engine().Supersede(id)
	}
}

// newOwner generates an owner ID of 50 random bits, which distinguishes a registry's
// own registrations from those of other registries.
func newOwner() string {
	var b [7]byte
	rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))[:10]
}

func newEngine(s store.Store, ttl, heartbeat time.Duration, logger *slog.Logger, o *Observer) *core.Engine {
	return core.New(core.Config{
		Store: s, TTL: ttl, HeartbeatInterval: heartbeat, Logger: logger, Hooks: o.hooks(),
		Decode: new(metadataCache).decodeRecord,
	})
}

func (b *coreBackend) closed() bool { return b.core == nil || b.core.Closed() }

// checkService returns why op on a service must fail: the backend is closed, or the
// name is not acceptable.
func (b *coreBackend) checkService(op, name string) error {
	if b.closed() {
		return opError(op, name, ErrClosed)
	}
	return validateName("Name", name)
}

// checkInstance is checkService for an instance.
func (b *coreBackend) checkInstance(op, id string) error {
	if b.closed() {
		return opError(op, id, ErrClosed)
	}
	return validateID(id)
}

// close closes the engine.
func (b *coreBackend) close() error {
	if b.core == nil {
		return nil
	}
	return b.core.Close()
}

// Register implements Registry.
func (b *coreBackend) Register(ctx context.Context, service ServiceInfo) error {
	ctx, err := AssignID(ctx, &service)
	if err != nil {
		return err
	}
	return b.register(ctx, service, ctx.Value(newIDKey{}) == service.ID)
}

// newIDKey is the key of a context's value that is the ID which was generated for
// the call, in whichever decorator. No other registry can have it.
type newIDKey struct{}

// AssignID gives service an ID if it has none. It is for decorators that must
// know the ID which Register generates: call it in your Register, and pass the
// context that it returns to the wrapped backend's, which then knows that the ID is
// new and need not look for it under other names.
func AssignID(ctx context.Context, service *ServiceInfo) (context.Context, error) {
	if service.ID != "" {
		return ctx, nil
	}
	id, err := store.NewID()
	if err != nil {
		return ctx, opError("generate an ID for an instance of", service.Name, err)
	}
	service.ID = id
	return context.WithValue(ctx, newIDKey{}, service.ID), nil
}

func (b *coreBackend) register(ctx context.Context, service ServiceInfo, newID bool) error {
	const op = "register an instance of"
	if b.closed() {
		return opError(op, service.Name, ErrClosed)
	}
	if err := validateService(service); err != nil {
		return err
	}
	payload, err := encodeService(service)
	if err != nil {
		return err
	}
	request := core.RegisterRequest{Service: service.Name, ID: service.ID, NewID: newID, Payload: payload}
	if b.core.Local() {
		// Readers share this value: it must be what they would decode.
		value, err := decodeService(service.Name, service.ID, 0, payload, nil)
		if err != nil {
			return err
		}
		request.Decoded = newDecodedService(&value)
	}
	if service.Status != "" {
		request.ResetOverlay = []string{memberHealth, memberNote}
	}
	return opError(op, service.Name, b.core.Register(ctx, request))
}

// Deregister implements Registry.
func (b *coreBackend) Deregister(ctx context.Context, serviceID string) error {
	if err := b.checkInstance("deregister", serviceID); err != nil {
		return err
	}
	return opError("deregister", serviceID, b.core.Deregister(ctx, serviceID))
}

// Discover implements Registry.
func (b *coreBackend) Discover(ctx context.Context, serviceName string) ([]ServiceInfo, error) {
	var s Snapshot
	if err := b.read(ctx, "discover", serviceName, &s); err != nil {
		return nil, err
	}
	return cloneServices(s.Instances), nil
}

// Snapshot implements Backend.
func (b *coreBackend) Snapshot(ctx context.Context, serviceName string) (snap Snapshot, err error) {
	err = b.read(ctx, "read", serviceName, &snap)
	return snap, err
}

// read stores its result in snap: in memory, copying a Snapshot is a large part of the cost.
func (b *coreBackend) read(ctx context.Context, op, serviceName string, snap *Snapshot) error {
	if err := b.checkService(op, serviceName); err != nil {
		return err
	}
	view, err := b.core.Read(ctx, serviceName)
	if err != nil {
		return opError(op, serviceName, err)
	}
	snap.set(serviceName, &view)
	return nil
}

// Instances implements Backend.
func (b *coreBackend) Instances(ctx context.Context, serviceName string) ([]Instance, error) {
	const op = "list instances of"
	if err := b.checkService(op, serviceName); err != nil {
		return nil, err
	}
	entries, err := b.core.ReadLeases(ctx, serviceName)
	if err != nil {
		return nil, opError(op, serviceName, err)
	}
	out := make([]Instance, len(entries))
	for i, e := range entries {
		info, over := visibleService(e)
		out[i] = Instance{ServiceInfo: info.Clone(), Note: over.note(info.Status), Revision: e.Revision()}
		if e.ExpiresAt > 0 {
			out[i].ExpiresAt = time.UnixMicro(e.ExpiresAt).UTC()
		}
	}
	return out, nil
}

// Services implements Backend.
func (b *coreBackend) Services(ctx context.Context) ([]string, error) {
	if b.closed() {
		return nil, fmt.Errorf("list services: %w", ErrClosed)
	}
	view, err := b.core.Read(ctx, store.Catalog)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	return append([]string{}, catalogNames(view)...), nil
}

// Watch implements Watcher.
func (b *coreBackend) Watch(ctx context.Context, serviceName string) iter.Seq[Snapshot] {
	return func(yield func(Snapshot) bool) {
		if err := b.checkService("watch", serviceName); err != nil {
			yield(emptySnapshot(serviceName, err))
			return
		}
		for view := range b.core.Watch(ctx, serviceName) {
			var snap Snapshot
			snap.set(serviceName, &view)
			if !yield(snap) {
				return
			}
		}
	}
}

// WatchServices implements Backend.
func (b *coreBackend) WatchServices(ctx context.Context) iter.Seq[Catalog] {
	return func(yield func(Catalog) bool) {
		if b.closed() {
			yield(Catalog{Names: []string{}, Stale: fmt.Errorf("watch services: %w", ErrClosed)})
			return
		}
		for view := range b.core.Watch(ctx, store.Catalog) {
			if !yield(Catalog{Names: catalogNames(view), Revision: view.Revision, AsOf: view.AsOf, Stale: view.Stale}) {
				return
			}
		}
	}
}

// SetStatus implements Backend.
func (b *coreBackend) SetStatus(ctx context.Context, serviceID string, status Status, note string) error {
	const op = "set the status of"
	if err := b.checkInstance(op, serviceID); err != nil {
		return err
	}
	if problem := textProblem(note, MaxNoteBytes); problem != "" {
		return invalidService("Note", problem)
	}
	change := store.OverlayPatch{ID: serviceID}
	switch status {
	case StatusDraining:
		change.Set = map[string]string{memberDrain: "true", memberDrainNote: jsonString(note)}
		change.Kind, change.Note = store.EventDrain, note
	case "", StatusPassing, StatusWarning, StatusCritical:
		status = cmp.Or(status, StatusPassing)
		change.Set = map[string]string{memberHealth: jsonString(string(status)), memberNote: jsonString(note)}
		change.Kind, change.Note = store.EventStatus, statusNote(status, note)
	default:
		return invalidService("Status", statusProblem(status))
	}
	return b.patch(ctx, op, change, false)
}

// Drain implements Backend.
func (b *coreBackend) Drain(ctx context.Context, serviceID string) error {
	change := store.OverlayPatch{ID: serviceID, Set: map[string]string{memberDrain: "true"}, Kind: store.EventDrain}
	return b.patch(ctx, "drain", change, true)
}

// Undrain implements Backend.
func (b *coreBackend) Undrain(ctx context.Context, serviceID string) error {
	change := store.OverlayPatch{ID: serviceID, Set: map[string]string{memberDrain: "false", memberDrainNote: ""}, Kind: store.EventUndrain}
	return b.patch(ctx, "undrain", change, false)
}

// patch sets members of an overlay. With wait it returns once all watches have
// acknowledged the state.
func (b *coreBackend) patch(ctx context.Context, op string, change store.OverlayPatch, wait bool) error {
	if err := b.checkInstance(op, change.ID); err != nil {
		return err
	}
	patch := b.core.PatchOverlay
	if wait {
		patch = b.core.PatchAndWait
	}
	result, err := patch(ctx, change)
	if err == nil && !result.Existed {
		err = ErrNotFound
	}
	return opError(op, change.ID, err)
}

// NotifyLost implements Backend.
func (b *coreBackend) NotifyLost(serviceID string, lost func(error)) (stop func()) {
	if b.closed() {
		lost(opError("registration of", serviceID, ErrClosed))
		return func() {}
	}
	return b.core.OnLoss(serviceID, func(how core.Loss) {
		reason := ErrDeregistered
		if how == core.LossSuperseded {
			reason = ErrSuperseded
		}
		lost(opError("registration of", serviceID, reason))
	})
}
