package registrytest

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// What the reference remembers of changes. The caller of each method but those of
// registry.Backend holds w.mu.

func (w *world) remember(name string, e registry.Event) {
	w.events[name] = append(w.events[name], e)
}

func (w *world) noteExpiry(rec *record) {
	w.remember(rec.info.Name, registry.Event{Time: rec.expires, ID: rec.info.ID, Kind: registry.EventExpired, By: rec.by,
		Note: "last heartbeat " + rec.expires.Add(-w.ttl).Format(time.RFC3339Nano)})
}

func (r *ref) note(name, id string, kind registry.EventKind, note string) {
	r.w.remember(name, registry.Event{Time: time.Now(), ID: id, Kind: kind, By: r.by, Note: note})
}

// noteRegistration notes that s takes the place of old, which may be nil.
func (r *ref) noteRegistration(s registry.ServiceInfo, old *record) {
	kind := registry.EventRegistered
	switch {
	case old == nil:
	case old.info.Name == s.Name:
		kind = registry.EventReplaced
	default:
		r.note(old.info.Name, s.ID, registry.EventMoved, s.Name)
	}
	r.note(s.Name, s.ID, kind, "")
}

func (r *ref) Events(ctx context.Context, name string) ([]registry.Event, error) {
	if err := named(name); err != nil {
		return nil, err
	}
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.w.mu.Unlock()
	return append([]registry.Event{}, slices.Clone(r.w.events[name])...), nil
}

func (r *ref) setStatus(ctx context.Context, id string, status registry.Status, kind registry.EventKind, note string) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.w.mu.Unlock()
	rec := r.w.records[id]
	if rec == nil {
		return registry.ErrNotFound
	}
	rec.info.Status = status
	r.note(rec.info.Name, id, kind, note)
	r.w.touch(rec.info.Name, len(r.w.names()))
	return nil
}

func (r *ref) SetStatus(ctx context.Context, id string, status registry.Status, note string) error {
	return r.setStatus(ctx, id, status, registry.EventStatus, string(status)+": "+note)
}

func (r *ref) Drain(ctx context.Context, id string) error {
	return r.setStatus(ctx, id, registry.StatusDraining, registry.EventDrain, "")
}

func (r *ref) Undrain(ctx context.Context, id string) error {
	return r.setStatus(ctx, id, registry.StatusPassing, registry.EventUndrain, "")
}
