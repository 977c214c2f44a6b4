package core

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// fake is a scripted backend: it can lose all it knows, fail, be slow, have its
// clock set, and drop, hold or shuffle its pushes. Its zero value is at ease.
type fake struct {
	mu     sync.Mutex
	groups map[string]*fakeGroup
	stamp  int64
	revs   uint64
	seqs   uint64

	step   time.Duration // of its clock from the true time
	down   bool          // requests are refused at once
	frozen bool          // requests time out after fakeTimeout, unless it thaws before
	thawed chan struct{}
	sick   map[string]bool // groups for which renewals fail
	refuse bool            // writes, while reads are answered
	calm   bool            // renewals that find all say that nothing changed
	slow   time.Duration   // that each request takes
	late   bool            // slow reads answer with what stood when they began

	drop bool // pushes
	hold bool
	kept []func()

	watchers map[*fakeWatcher]struct{}
	renewals []fakeRenewal
	puts     []store.Put
	reads    int
}

type fakeGroup struct {
	rev   string
	recs  map[string]*store.Record
	tombs map[string]store.Tombstone
}

type fakeWatcher struct {
	group  string
	notify func(store.Notice)
}

type fakeRenewal struct {
	at    time.Time
	group string
	ids   []string
}

const fakeTimeout = time.Second

var errFakeRefused = fmt.Errorf("%w: %w: the fake's word", store.ErrUnavailable, store.ErrWritesRefused)

var errFake = fmt.Errorf("%w: as the test asked", store.ErrUnavailable)

// fakeStore is the fake as one owner sees it.
type fakeStore struct {
	*fake
	owner  string
	closed chan struct{}

	// Its own lock: pushes read while the fake's is held.
	callsMu sync.Mutex
	over    bool
	calls   sync.WaitGroup // none begins once over
}

func (f *fake) as(owner string) *fakeStore {
	return &fakeStore{fake: f, owner: owner, closed: make(chan struct{})}
}

func (f *fake) now() int64 { return time.Now().Add(f.step).UnixMicro() }

func (f *fake) group(name string) *fakeGroup {
	if f.groups == nil {
		f.groups = map[string]*fakeGroup{}
	}
	g := f.groups[name]
	if g == nil {
		g = &fakeGroup{recs: map[string]*store.Record{}, tombs: map[string]store.Tombstone{}}
		f.groups[name] = g
	}
	return g
}

// set runs a change of the script.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// freeze makes it hang, and thaw answers what hangs.
func (f *fake) freeze() { f.set(func() { f.frozen, f.thawed = true, make(chan struct{}) }) }
func (f *fake) thaw()   { f.set(func() { f.frozen = false; close(f.thawed) }) }

// loseAll is FLUSHALL.
func (f *fake) loseAll() { f.set(func() { f.groups = nil }) }

func (f *fake) readCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

// add registers an instance of an owner outside the test, whose lease ends after life.
func (f *fake) add(group, id string, ttl, beat, life time.Duration) *store.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stamp = max(f.now(), f.stamp+1)
	r := &store.Record{ID: id, Owner: "other", RegisteredAt: f.stamp, TTL: ttl, HeartbeatInterval: beat, ExpiresAt: f.now() + life.Microseconds(), Payload: []byte(id)}
	f.change(group, r, nil)
	return r
}

// extend renews such an instance, as its owner would.
func (f *fake) extend(group, id string, life time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := f.group(group)
	if old := g.recs[id]; old != nil && old.ExpiresAt >= f.now() {
		r := *old
		r.ExpiresAt = f.now() + life.Microseconds()
		g.recs[id] = &r
	}
}

// end removes one, for a reason.
func (f *fake) end(group, id string, reason store.Reason) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.group(group).recs[id]; r != nil {
		f.change(group, nil, &store.Tombstone{ID: id, Reason: reason, RegisteredAt: r.RegisteredAt, Owner: r.Owner})
	}
}

// change numbers and pushes one change. f.mu is held.
func (f *fake) change(group string, r *store.Record, t *store.Tombstone) {
	g := f.group(group)
	reading := store.Reading{Kind: store.Delta, Now: f.now()}
	for id, old := range g.recs { // prune
		if old.ExpiresAt < f.now() && (r == nil || id != r.ID) {
			b := store.Tombstone{ID: id, Reason: store.ReasonExpired, RegisteredAt: old.RegisteredAt, Owner: old.Owner}
			delete(g.recs, id)
			g.tombs[id] = b
			reading.Tombstones = append(reading.Tombstones, b)
		}
	}
	if t != nil {
		delete(g.recs, t.ID)
		g.tombs[t.ID] = *t
		reading.Tombstones = append(reading.Tombstones, *t)
	}
	if r != nil {
		delete(g.tombs, r.ID)
		g.recs[r.ID] = r
		reading.Records = []*store.Record{r}
	}
	prev := g.rev
	f.revs++
	g.rev = strconv.FormatUint(f.revs, 10)
	reading.Rev = g.rev
	f.push(group, store.Notice{PreviousRev: prev, Reading: reading})
}

func (f *fake) push(group string, n store.Notice) {
	if f.drop || f.frozen || f.down {
		return
	}
	send := func() {
		for w := range f.watchers {
			if w.group == group {
				w.notify(n)
			}
		}
	}
	if f.hold {
		f.kept = append(f.kept, send)
		return
	}
	send()
}

// release delivers the held pushes, in the given order of their numbers.
func (f *fake) release(order ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range order {
		f.kept[i]()
	}
	f.kept = nil
}

// request waits as long as a request takes, and says how it failed.
func (s *fakeStore) request(ctx context.Context) error {
	s.mu.Lock()
	wait, down, frozen := s.slow, s.down, s.frozen
	var thawed chan struct{}
	if frozen {
		thawed = s.thawed
	}
	s.mu.Unlock()
	if frozen {
		wait = fakeTimeout
	}
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
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

func (s *fakeStore) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	results := make([]store.PutResult, len(puts))
	err := s.request(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse {
		err = errFake
	}
	for i, p := range puts {
		if results[i].Err = err; err != nil {
			continue
		}
		s.puts = append(s.puts, p)
		g := s.group(p.Service)
		cur := g.recs[p.ID]
		if cur != nil && cur.ExpiresAt < s.now() {
			cur = nil
		}
		stamp := p.RegisteredAt
		if p.Reregister {
			if cur != nil && cur.Owner != s.owner && cur.RegisteredAt > p.RegisteredAt {
				results[i].Outcome = store.Superseded
				continue
			}
			if t, ok := g.tombs[p.ID]; ok && cur == nil && t.Reason != store.ReasonExpired && t.RegisteredAt >= p.RegisteredAt {
				results[i].Outcome = store.Deregistered
				continue
			}
		} else {
			s.stamp = max(s.now(), s.stamp+1)
			stamp = s.stamp
		}
		s.seqs++
		r := &store.Record{ID: p.ID, Owner: s.owner, Seq: s.seqs, RegisteredAt: stamp, TTL: p.TTL, HeartbeatInterval: p.HeartbeatInterval,
			ExpiresAt: s.now() + p.TTL.Microseconds(), Payload: p.Payload, Overlay: p.Overlay}
		s.change(p.Service, r, nil)
		results[i] = store.PutResult{RegisteredAt: stamp, Seq: r.Seq, Overlay: p.Overlay}
	}
	return results
}

func (s *fakeStore) Renew(ctx context.Context, leases []store.ServiceLeases) []store.Renewal {
	answers := make([]store.Renewal, len(leases))
	s.mu.Lock()
	for _, l := range leases {
		sent := fakeRenewal{at: time.Now(), group: l.Service}
		for _, lease := range l.Leases {
			sent.ids = append(sent.ids, lease.ID)
		}
		s.renewals = append(s.renewals, sent)
	}
	s.mu.Unlock()
	err := s.request(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse {
		err = errFake
	}
	for i, l := range leases {
		answers[i].Err = err
		if err == nil && s.sick[l.Service] {
			answers[i].Err = errFake
		}
		if answers[i].Err != nil {
			continue
		}
		answers[i].Outcomes = map[string]store.Outcome{}
		answers[i].Overlays = map[string][]byte{}
		g := s.group(l.Service)
		for _, lease := range l.Leases {
			cur, t := g.recs[lease.ID], g.tombs[lease.ID]
			switch {
			case cur != nil && cur.Owner == s.owner && cur.RegisteredAt == lease.RegisteredAt && cur.ExpiresAt >= s.now():
				r := *cur
				r.ExpiresAt = s.now() + l.TTL.Microseconds()
				g.recs[lease.ID] = &r
				answers[i].Overlays[lease.ID] = r.Overlay
			case cur != nil && cur.Owner != s.owner && cur.RegisteredAt > lease.RegisteredAt:
				answers[i].Outcomes[lease.ID] = store.Superseded
			case cur == nil && t.Reason != "" && t.Reason != store.ReasonExpired && t.RegisteredAt >= lease.RegisteredAt:
				answers[i].Outcomes[lease.ID] = store.Deregistered
			default:
				answers[i].Outcomes[lease.ID] = store.Lost
			}
		}
		if s.calm && len(answers[i].Outcomes) == 0 {
			answers[i] = store.Renewal{}
		}
	}
	return answers
}

func (s *fakeStore) Remove(ctx context.Context, r store.Removal) (store.RemoveResult, error) {
	if err := s.request(ctx); err != nil {
		return store.RemoveResult{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seqs++
	for name, g := range s.groups {
		if cur := g.recs[r.ID]; cur != nil && (!r.Own || cur.Owner == s.owner && name == r.Service) {
			s.change(name, nil, &store.Tombstone{ID: r.ID, Reason: store.ReasonDeregistered, RegisteredAt: max(cur.RegisteredAt, r.RegisteredAt), Owner: cur.Owner})
			return store.RemoveResult{Existed: true, Service: name, Seq: s.seqs}, nil
		}
	}
	if r.Own {
		s.group(r.Service).tombs[r.ID] = store.Tombstone{ID: r.ID, Reason: store.ReasonDeregistered, RegisteredAt: r.RegisteredAt, Owner: s.owner}
	}
	return store.RemoveResult{Service: r.Service, Seq: s.seqs}, nil
}

func (s *fakeStore) PatchOverlay(context.Context, store.OverlayPatch) (store.PatchResult, error) {
	return store.PatchResult{}, errors.New("the fake sets no overlays")
}

func (s *fakeStore) Read(group string, known store.KnownState, done func(store.Reading, error)) {
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
		s.mu.Lock()
		s.reads++
		early, late := s.state(group, known), s.late
		s.mu.Unlock()
		err := s.request(context.Background())
		s.mu.Lock()
		r := s.state(group, known)
		s.mu.Unlock()
		if late {
			r = early
		}
		if err != nil {
			r = store.Reading{}
		}
		done(r, err)
	}()
}

// state is what a read brings. f.mu is held.
func (f *fake) state(group string, known store.KnownState) store.Reading {
	g, now := f.group(group), f.now()
	r := store.Reading{Now: now, Rev: g.rev}
	var expired []string
	for _, id := range slices.Sorted(maps.Keys(g.recs)) {
		rec := g.recs[id]
		switch {
		case rec.ExpiresAt < now && f.refuse:
			r.WritesRefused = errFakeRefused
			r.Records = append(r.Records, rec)
		case rec.ExpiresAt < now:
			expired = append(expired, id)
			r.Tombstones = append(r.Tombstones, store.Tombstone{ID: id, Reason: store.ReasonExpired, RegisteredAt: rec.RegisteredAt, Owner: rec.Owner})
		default:
			r.Records = append(r.Records, rec)
			if r.NextExpiry == 0 || rec.ExpiresAt < r.NextExpiry {
				r.NextExpiry = rec.ExpiresAt
			}
		}
	}
	for _, t := range g.tombs {
		r.Tombstones = append(r.Tombstones, t)
	}
	if f.refuse && (known.ProveAbsence || g.rev == "") {
		r.WritesRefused = errFakeRefused
	}
	if r.WritesRefused != nil {
		r.NextExpiry = now - 1
	}
	if known.Rev != "" && known.Rev == g.rev {
		return store.Reading{Kind: store.Unchanged, Now: now, Rev: g.rev, NextExpiry: r.NextExpiry, Expired: append([]string{}, expired...), WritesRefused: r.WritesRefused}
	}
	return r
}

func (s *fakeStore) Watch(group string, notify func(store.Notice)) (stop func()) {
	w := &fakeWatcher{group, notify}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchers == nil {
		s.watchers = map[*fakeWatcher]struct{}{}
	}
	s.watchers[w] = struct{}{}
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
