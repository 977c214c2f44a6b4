package registrytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/rollcall-sd/rollcall/registry"
)

// world is the smallest universe that keeps every promise: one table under one
// lock. fault names the promise that it breaks, if any.
type world struct {
	ttl, beat time.Duration // zero: nothing expires
	fault     string

	mu               sync.Mutex
	records          map[string]*record
	removed          []*record         // kept for the faults that break finality
	revs             map[string]uint64 // of services; "" is the catalog's
	lastRegisteredAt int64
	changed          chan struct{} // closed and replaced at each change
	muted            bool
	refused          bool // writes
	events           map[string][]registry.Event
}

type record struct {
	info         registry.ServiceInfo
	registeredAt int64
	expires      time.Time
	rev          uint64
	by           string
}

// ref is one registry on a world. The methods that seal a Backend come from the
// nil one that it embeds and must not be called.
type ref struct {
	registry.Backend
	w    *world
	by   string           // its name in events
	mine map[string]int64 // registration times of its own; guarded by w.mu
	idle map[string]bool  // of those, the ones without a heartbeat
	done chan struct{}
	once sync.Once
	wg   sync.WaitGroup
}

func newWorld(ttl, beat time.Duration, fault string) *world {
	return &world{ttl: ttl, beat: beat, fault: fault, records: map[string]*record{}, revs: map[string]uint64{}, events: map[string][]registry.Event{}, changed: make(chan struct{})}
}

func (w *world) open() *ref {
	r := &ref{w: w, by: uuid.NewString(), mine: map[string]int64{}, idle: map[string]bool{}, done: make(chan struct{})}
	if w.ttl > 0 {
		r.wg.Go(r.heartbeat)
	}
	return r
}

func (w *world) universe() Universe {
	return Universe{Open: func(testing.TB) registry.Registry { return w.open() }, Mute: w.mute, Refuse: w.refuse}
}

func (w *world) refuse() (accept func()) {
	set := func(refused bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.prune()
		if w.refused = refused; !refused {
			for _, rec := range w.records { // gives owners the time to renew
				if time.Now().After(rec.expires) {
					rec.expires = time.Now().Add(max(w.ttl, w.beat+time.Second))
				}
			}
		}
		w.wake()
	}
	set(true)
	return func() { set(false) }
}

// unproven reports whether a lease ended that its owner could not renew.
func (w *world) unproven() bool {
	if !w.refused {
		return false
	}
	for _, rec := range w.records {
		if time.Now().After(rec.expires) {
			return true
		}
	}
	return false
}

func (w *world) mute() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.muted = true
	w.wake()
}

func (w *world) wake() { close(w.changed); w.changed = make(chan struct{}) }

// touch marks a service as changed; names counts the services before.
func (w *world) touch(name string, services int) {
	w.revs[name]++
	if services != len(w.names()) || w.fault == "catalog wakes" {
		w.revs[""]++
	}
	if w.fault == "mixes case" || w.fault == "wakes others" {
		for other := range w.revs {
			w.revs[other]++
		}
	}
	w.wake()
}

func (w *world) names() []string {
	set := map[string]bool{}
	for _, rec := range w.records {
		set[rec.info.Name] = true
	}
	names := slices.AppendSeq(make([]string, 0, len(set)), maps.Keys(set))
	slices.Sort(names)
	return names
}

func (w *world) remove(id string) {
	rec := w.records[id]
	before := len(w.names())
	delete(w.records, id)
	w.removed = append(w.removed, rec)
	w.touch(rec.info.Name, before)
}

func (w *world) prune() (next time.Time) {
	for id, rec := range w.records {
		switch {
		case w.ttl == 0 || w.fault == "never expires":
		case w.refused && w.fault != "expires unproven" && time.Now().After(rec.expires):
		case time.Now().After(rec.expires):
			w.noteExpiry(rec)
			w.remove(id)
		case next.IsZero() || rec.expires.Before(next):
			next = rec.expires
		}
	}
	return next
}

func (r *ref) heartbeat() {
	ticker := time.NewTicker(r.w.beat)
	defer ticker.Stop()
	for {
		select {
		case <-r.done:
			return
		case <-ticker.C:
			r.beat()
		}
	}
}

func (r *ref) beat() {
	w := r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.prune()
	for id, registeredAt := range r.mine {
		switch rec := w.records[id]; {
		case r.idle[id] || w.muted || w.refused || w.fault == "no heartbeat":
		case rec != nil && rec.registeredAt == registeredAt:
			rec.expires = time.Now().Add(w.ttl)
			if w.fault == "heartbeats wake" {
				w.touch(rec.info.Name, len(w.names()))
			}
			if w.fault == "beats move instances" {
				rec.rev++
			}
		case rec == nil && w.fault == "heartbeat resurrects":
			i := slices.IndexFunc(w.removed, func(b *record) bool { return b.registeredAt == registeredAt })
			before := len(w.names())
			w.records[id] = w.removed[i]
			w.removed[i].expires = time.Now().Add(w.ttl)
			w.touch(w.removed[i].info.Name, before)
		case rec != nil && registeredAt < rec.registeredAt && w.fault == "heartbeat flips back":
			i := slices.IndexFunc(w.removed, func(b *record) bool { return b.registeredAt == registeredAt })
			w.removed = append(w.removed, rec)
			w.records[id] = w.removed[i]
			w.removed[i].expires = time.Now().Add(w.ttl)
			w.touch(rec.info.Name, len(w.names()))
		default:
			r.idle[id] = w.fault != "heartbeat resurrects"
		}
	}
}

// enter locks the world for a call, or returns why the call fails.
func (r *ref) enter(ctx context.Context) error {
	r.w.mu.Lock()
	muted, unproven := r.w.muted, r.w.unproven()
	switch {
	case r.closed():
		r.w.mu.Unlock()
		return registry.ErrClosed
	case muted:
		r.w.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-r.done:
		}
		return fmt.Errorf("%w: mute", registry.ErrUnavailable)
	case unproven && r.w.fault != "expires unproven":
		r.w.mu.Unlock()
		return fmt.Errorf("%w: writes are refused", registry.ErrUnavailable)
	case ctx.Err() != nil:
		r.w.mu.Unlock()
		return ctx.Err()
	}
	r.w.prune()
	return nil
}

func (r *ref) closed() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (r *ref) Register(ctx context.Context, s registry.ServiceInfo) error {
	if err := valid(s); err != nil {
		return err
	}
	if err := r.enter(ctx); err != nil {
		return err
	}
	w := r.w
	defer w.mu.Unlock()
	if w.refused {
		return fmt.Errorf("%w: writes are refused", registry.ErrUnavailable)
	}
	s = own(s)
	if s.ID == "" {
		s.ID = uuid.NewString()
	}
	before := len(w.names())
	old := w.records[s.ID]
	if old != nil && old.registeredAt == r.mine[s.ID] {
		if s.RegisteredAt = old.info.RegisteredAt; old.info.Name == s.Name && differs(old.info, s) == nil {
			return nil
		}
	}
	w.lastRegisteredAt = max(w.lastRegisteredAt+1, time.Now().UnixMicro())
	s.RegisteredAt = time.UnixMicro(w.lastRegisteredAt)
	w.records[s.ID] = &record{info: s, registeredAt: w.lastRegisteredAt, expires: time.Now().Add(w.ttl), rev: uint64(w.lastRegisteredAt), by: r.by}
	r.noteRegistration(s, old)
	r.mine[s.ID] = w.lastRegisteredAt
	delete(r.idle, s.ID)
	if old != nil {
		w.removed = append(w.removed, old)
		if old.info.Name != s.Name {
			w.touch(old.info.Name, -1)
		}
	}
	w.touch(s.Name, before)
	return nil
}

func (r *ref) Deregister(ctx context.Context, id string) error {
	if err := text("ID", id, registry.MaxIDBytes); err != nil {
		return err
	}
	if err := r.enter(ctx); err != nil {
		r.w.mu.Lock()
		r.idle[id] = r.w.fault != "failed Deregister keeps beating"
		r.w.mu.Unlock()
		return err
	}
	defer r.w.mu.Unlock()
	registeredAt, owned := r.mine[id]
	if rec := r.w.records[id]; rec != nil && (!owned || registeredAt == rec.registeredAt || r.w.fault == "earlier Deregister kills") {
		r.note(rec.info.Name, id, registry.EventDeregistered, "")
		r.w.remove(id)
	}
	if r.w.fault != "heartbeat resurrects" {
		delete(r.mine, id)
	}
	return nil
}

// read returns the live records of a service, oldest first.
func (r *ref) read(name string) []*record {
	var live []*record
	for _, rec := range r.w.records {
		if rec.info.Name == name || r.w.fault == "mixes case" && strings.EqualFold(rec.info.Name, name) {
			live = append(live, rec)
		}
	}
	slices.SortFunc(live, func(a, b *record) int { return cmp.Compare(a.registeredAt, b.registeredAt) })
	return live
}

func (r *ref) state(name string) registry.Snapshot {
	s := registry.Snapshot{Service: name, Instances: []registry.ServiceInfo{}, Revision: r.w.revs[name], AsOf: time.Now()}
	for _, rec := range r.read(name) {
		if rec.info.Status == registry.StatusCritical || rec.info.Status == registry.StatusDraining {
			s.Others = append(s.Others, own(rec.info))
		} else {
			s.Instances = append(s.Instances, own(rec.info))
		}
	}
	return s
}

func (r *ref) Snapshot(ctx context.Context, name string) (registry.Snapshot, error) {
	if err := named(name); err != nil {
		return registry.Snapshot{}, err
	}
	if err := r.enter(ctx); err != nil {
		return registry.Snapshot{}, err
	}
	defer r.w.mu.Unlock()
	return r.state(name), nil
}

func (r *ref) Discover(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
	s, err := r.Snapshot(ctx, name)
	return s.Instances, err
}

func (r *ref) Instances(ctx context.Context, name string) ([]registry.Instance, error) {
	if err := named(name); err != nil {
		return nil, err
	}
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.w.mu.Unlock()
	var all []registry.Instance
	for _, rec := range r.read(name) {
		all = append(all, registry.Instance{ServiceInfo: own(rec.info), ExpiresAt: rec.expires, Revision: rec.rev})
		if r.w.ttl == 0 && r.w.fault != "expires all the same" {
			all[len(all)-1].ExpiresAt = time.Time{}
		}
	}
	return all, nil
}

func (r *ref) Services(ctx context.Context) ([]string, error) {
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.w.mu.Unlock()
	return r.w.names(), nil
}

func (r *ref) Close() error {
	r.once.Do(func() { close(r.done) })
	r.wg.Wait()
	return nil
}

func own(s registry.ServiceInfo) registry.ServiceInfo {
	s.Metadata, s.Extensions, s.Tags = maps.Clone(s.Metadata), maps.Clone(s.Extensions), slices.Clone(s.Tags)
	return s
}

func named(name string) error {
	if name == "" {
		return fmt.Errorf("%w: Name is empty", registry.ErrInvalidService)
	}
	return text("Name", name, registry.MaxNameBytes)
}

func text(field, value string, limit int) error {
	if len(value) > limit || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return fmt.Errorf("%w: %s %.20q", registry.ErrInvalidService, field, value)
	}
	return nil
}

func valid(s registry.ServiceInfo) error {
	problems := []error{
		named(s.Name), text("ID", s.ID, registry.MaxIDBytes), text("Version", s.Version, registry.MaxVersionBytes),
		text("Address", s.Address, registry.MaxAddressBytes), text("HealthEndpoint", s.HealthEndpoint, registry.MaxHealthEndpointBytes),
	}
	wrong := func(field string, is bool) {
		if is {
			problems = append(problems, fmt.Errorf("%w: %s", registry.ErrInvalidService, field))
		}
	}
	ip, err := netip.ParseAddr(s.Address)
	wrong("Address is empty", s.Address == "")
	wrong("Address cannot be called", err == nil && ip.IsUnspecified() || s.Address == "256.1.1.1" ||
		err != nil && strings.ContainsAny(s.Address, "[]:/@ "))
	wrong("Port", s.Port < 1 || s.Port > 65535)
	wrong("Weight", s.Weight > registry.MaxWeight)
	wrong("Tags", len(s.Tags) > registry.MaxTags)
	for _, tag := range s.Tags {
		problems = append(problems, text("Tags", tag, registry.MaxTagBytes))
	}
	for field, pairs := range map[string]map[string]string{"Metadata": s.Metadata, "Extensions": s.Extensions} {
		size := 0
		for k, v := range pairs {
			size += len(k) + len(v)
			problems = append(problems, text(field, k, registry.MaxMetadataBytes), text(field, v, registry.MaxMetadataBytes))
		}
		wrong(field, len(pairs) > registry.MaxMetadataPairs || size > registry.MaxMetadataBytes)
	}
	return errors.Join(problems...)
}
