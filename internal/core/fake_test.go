package core

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// fake is a backend whose faults a test scripts: it can lose its memory, fail, be
// slow, have its clock set, and drop, hold or reorder its pushes. The zero value
// has no faults.
type fake struct {
	mu sync.Mutex
	model

	down         bool // requests fail at once
	frozen       bool // requests time out after fakeTimeout, unless it thaws before
	thawed       chan struct{}
	failRenewals map[string]bool // by service
	refuseWrites bool            // while reads are answered
	latency      time.Duration   // of each request
	answerEarly  bool            // a read answers with the state at its beginning, not at its end

	dropPushes bool
	holdPushes bool
	heldPushes []func()

	watchers map[*fakeWatcher]struct{}
	renewals []fakeRenewal
	puts     int
	reads    int
}

type fakeWatcher struct {
	service string
	notify  func(store.Notice)
}

type fakeRenewal struct {
	at      time.Time
	service string
	ids     []string
}

const fakeTimeout = time.Second

var (
	errFake        = fmt.Errorf("%w: as the test asked", store.ErrUnavailable)
	errFakeRefused = fmt.Errorf("%w: %w: as the test asked", store.ErrUnavailable, store.ErrWritesRefused)
)

// set changes the script.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.push = f.send
	change()
}

func (f *fake) freeze()  { f.set(func() { f.frozen, f.thawed = true, make(chan struct{}) }) }
func (f *fake) thaw()    { f.set(func() { f.frozen = false; close(f.thawed) }) } // answers the requests that hang
func (f *fake) loseAll() { f.set(f.model.loseAll) }

func (f *fake) readCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

// record returns a copy of a record, nil if the backend has none.
func (f *fake) record(service, id string) *store.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.service(service).records[id]; r != nil {
		r := *r
		return &r
	}
	return nil
}

// write writes a record as it is.
func (f *fake) write(service string, r store.Record) {
	f.set(func() { f.change(service, &r, nil) })
}

// add registers an instance of an owner outside the test, whose lease ends after life.
func (f *fake) add(service, id string, ttl, heartbeat, life time.Duration) *store.Record {
	var r *store.Record
	f.set(func() {
		f.lastRegisteredAt = max(f.now(), f.lastRegisteredAt+1)
		r = &store.Record{ID: id, Owner: "other", RegisteredAt: f.lastRegisteredAt, TTL: ttl, HeartbeatInterval: heartbeat,
			ExpiresAt: f.now() + life.Microseconds(), Payload: []byte(id)}
		f.change(service, r, nil)
	})
	return r
}

// extend renews such an instance, as its owner would.
func (f *fake) extend(service, id string, life time.Duration) {
	f.set(func() {
		s := f.service(service)
		if old := s.records[id]; old != nil && old.ExpiresAt >= f.now() {
			r := *old
			r.ExpiresAt = f.now() + life.Microseconds()
			s.records[id] = &r
		}
	})
}

// end removes an instance, for a reason.
func (f *fake) end(service, id string, reason store.Reason) {
	f.set(func() {
		if r := f.service(service).records[id]; r != nil {
			f.change(service, nil, &store.Tombstone{ID: id, Reason: reason, RegisteredAt: r.RegisteredAt, Owner: r.Owner})
		}
	})
}

// expire ends leases at once.
func (f *fake) expire(service string, ids ...string) {
	f.set(func() {
		s := f.service(service)
		for _, id := range ids {
			if old := s.records[id]; old != nil {
				r := *old
				r.ExpiresAt = f.now() - 1
				s.records[id] = &r
			}
		}
	})
}

// send pushes a change to the watchers of a service. The caller holds f.mu.
func (f *fake) send(service string, n store.Notice) {
	if f.dropPushes || f.frozen || f.down {
		return
	}
	deliver := func() {
		for w := range f.watchers {
			if w.service == service {
				w.notify(n)
			}
		}
	}
	if f.holdPushes {
		f.heldPushes = append(f.heldPushes, deliver)
		return
	}
	deliver()
}

// release delivers the held pushes in the order of these numbers, and drops the others.
func (f *fake) release(order ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range order {
		f.heldPushes[i]()
	}
	f.heldPushes = nil
}

// fakeStore is the fake as one owner's store.
type fakeStore struct {
	*fake
	owner  string
	closed chan struct{}

	callsMu sync.Mutex // its own: pushes start reads while fake.mu is held
	over    bool
	calls   sync.WaitGroup // reads under way; none begins once over
}

var _ store.Store = (*fakeStore)(nil)

func (f *fake) open(owner string) *fakeStore {
	f.set(func() {})
	return &fakeStore{fake: f, owner: owner, closed: make(chan struct{})}
}

// request waits as long as a request takes, and returns how it failed.
func (s *fakeStore) request(ctx context.Context) error {
	s.mu.Lock()
	wait, down, frozen := s.latency, s.down, s.frozen
	var thawed chan struct{}
	if frozen {
		wait, thawed = fakeTimeout, s.thawed
	}
	s.mu.Unlock()
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-thawed:
			return ctx.Err()
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closed:
			return store.ErrClosed
		}
	}
	select {
	case <-s.closed:
		return store.ErrClosed
	default:
	}
	if down || frozen {
		return errFake
	}
	return ctx.Err()
}

// writeRequest is like request for a write. If it returns nil, the caller holds s.mu.
func (s *fakeStore) writeRequest(ctx context.Context) error {
	if err := s.request(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	if s.refuseWrites {
		s.mu.Unlock()
		return errFake
	}
	return nil
}

func (s *fakeStore) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	results := make([]store.PutResult, len(puts))
	if err := s.writeRequest(ctx); err != nil {
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	defer s.mu.Unlock()
	for i, p := range puts {
		s.puts++
		results[i] = s.put(s.owner, p)
	}
	return results
}

func (s *fakeStore) Renew(ctx context.Context, leases []store.ServiceLeases) []store.Renewal {
	s.mu.Lock()
	for _, l := range leases {
		sent := fakeRenewal{at: time.Now(), service: l.Service}
		for _, lease := range l.Leases {
			sent.ids = append(sent.ids, lease.ID)
		}
		s.renewals = append(s.renewals, sent)
	}
	s.mu.Unlock()
	answers := make([]store.Renewal, len(leases))
	if err := s.writeRequest(ctx); err != nil {
		for i := range answers {
			answers[i].Err = err
		}
		return answers
	}
	defer s.mu.Unlock()
	for i, l := range leases {
		if s.failRenewals[l.Service] {
			answers[i].Err = errFake
		} else {
			answers[i] = s.renew(s.owner, l)
		}
	}
	return answers
}

func (s *fakeStore) Remove(ctx context.Context, r store.Removal) (store.RemoveResult, error) {
	if err := s.writeRequest(ctx); err != nil {
		return store.RemoveResult{}, err
	}
	defer s.mu.Unlock()
	return s.remove(s.owner, r), nil
}

func (s *fakeStore) PatchOverlay(ctx context.Context, p store.OverlayPatch) (store.PatchResult, error) {
	if err := s.writeRequest(ctx); err != nil {
		return store.PatchResult{}, err
	}
	defer s.mu.Unlock()
	return s.patch(p), nil
}

// Events is not simulated: the engine only passes it on.
func (s *fakeStore) Events(context.Context, string) ([]store.Event, error) { return nil, nil }

func (s *fakeStore) Read(service string, known store.KnownState, done func(store.Reading, error)) {
	s.callsMu.Lock()
	over := s.over
	if !over {
		s.calls.Add(1)
	}
	s.callsMu.Unlock()
	if over {
		done(store.Reading{}, store.ErrClosed)
		return
	}
	go func() {
		defer s.calls.Done()
		early := s.answer(service, known, 1)
		if err := s.request(context.Background()); err != nil {
			done(store.Reading{}, err)
			return
		}
		r := s.answer(service, known, 0)
		s.mu.Lock()
		if s.answerEarly {
			r = early
		}
		s.mu.Unlock()
		done(r, nil)
	}()
}

// answer returns what a read answers now.
func (s *fakeStore) answer(service string, known store.KnownState, count int) store.Reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads += count
	var refused error
	if s.refuseWrites {
		refused = errFakeRefused
	}
	return s.read(service, known, refused)
}

func (s *fakeStore) Watch(service string, notify func(store.Notice)) (stop func()) {
	w := &fakeWatcher{service, notify}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchers == nil {
		s.watchers = map[*fakeWatcher]struct{}{}
	}
	s.watchers[w] = struct{}{}
	if !s.down && !s.frozen && !s.dropPushes {
		notify(store.Notice{Resync: store.ResyncConnected})
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}
}

func (s *fakeStore) Close() error {
	s.callsMu.Lock()
	if !s.over {
		s.over = true
		close(s.closed)
	}
	s.callsMu.Unlock()
	s.calls.Wait()
	return nil
}

// renewed reports whether an ID was part of a renewal since then.
func (f *fake) renewed(id string, since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.renewals, func(r fakeRenewal) bool {
		return r.at.After(since) && slices.Contains(r.ids, id)
	})
}

// wantNoHeartbeat fails the test if an ID is renewed within a minute from now.
func (f *fake) wantNoHeartbeat(t *testing.T, id string) {
	t.Helper()
	from := time.Now()
	advance(time.Minute)
	if f.renewed(id, from) {
		t.Errorf("%s is still renewed", id)
	}
}

// renewalGap returns the longest pause between renewals of a service, and how many there were.
func (f *fake) renewalGap(service string, from time.Time) (longest time.Duration, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := from
	for _, r := range f.renewals {
		if r.service == service && !r.at.Before(from) {
			longest, last = max(longest, r.at.Sub(last)), r.at
			n++
		}
	}
	return max(longest, time.Since(last)), n
}
