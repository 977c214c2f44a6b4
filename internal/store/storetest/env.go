package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// env is one check's backend and the ways to use it.
type env struct {
	*testing.T
	harness Harness
	backend Backend
	alpha   store.Store // of owner "alpha"

	watched map[string]bool // by alpha: the watch has begun
}

func newEnv(t *testing.T, h Harness) *env {
	e := &env{T: t, harness: h, backend: h.New(t), watched: map[string]bool{}}
	e.alpha = e.open("alpha")
	return e
}

func (e *env) open(owner string) store.Store {
	e.Helper()
	s := e.backend.Open(owner)
	e.Cleanup(func() {
		if err := s.Close(); err != nil {
			e.Errorf("Close: %v", err)
		}
	})
	return s
}

// putOf is a put of an ID that a user chose.
func putOf(service, id, payload string) store.Put {
	return store.Put{Service: service, ID: id, TTL: ttl, HeartbeatInterval: heartbeat, Payload: []byte(`{"p":"` + payload + `"}`)}
}

// put puts one record, which must succeed, and returns its registration time.
func (e *env) put(s store.Store, p store.Put) int64 {
	e.Helper()
	r := e.try(s, p)
	if r.Outcome != store.Done {
		e.Fatalf("Put of %q: outcome %d, want Done", p.ID, r.Outcome)
	}
	return r.RegisteredAt
}

func (e *env) try(s store.Store, p store.Put) store.PutResult {
	e.Helper()
	results := s.Put(e.Context(), []store.Put{p})
	if len(results) != 1 {
		e.Fatalf("Put of one record gave %d results", len(results))
	}
	if results[0].Err != nil {
		e.Fatalf("Put of %q: %v", p.ID, results[0].Err)
	}
	return results[0]
}

// reregister makes p restore the registration of registeredAt.
func reregister(p store.Put, registeredAt int64) store.Put {
	p.Reregister, p.RegisteredAt = true, registeredAt
	return p
}

func (e *env) remove(s store.Store, r store.Removal) store.RemoveResult {
	e.Helper()
	removed, err := s.Remove(e.Context(), r)
	if err != nil {
		e.Fatalf("Remove of %q: %v", r.ID, err)
	}
	return removed
}

// deregister ends an own record.
func (e *env) deregister(s store.Store, service, id string, registeredAt int64) store.RemoveResult {
	e.Helper()
	return e.remove(s, store.Removal{Service: service, ID: id, Own: true, RegisteredAt: registeredAt})
}

// renew renews leases of one service.
func (e *env) renew(s store.Store, service string, leases ...store.Lease) store.Renewal {
	e.Helper()
	answers := s.Renew(e.Context(), []store.ServiceLeases{{Service: service, TTL: ttl, Leases: leases}})
	if len(answers) != 1 {
		e.Fatalf("Renew of one service gave %d answers", len(answers))
	}
	if answers[0].Err != nil {
		e.Fatalf("Renew: %v", answers[0].Err)
	}
	return answers[0]
}

func (e *env) read(s store.Store, service string, known store.KnownState) store.Reading {
	e.Helper()
	r, err := e.tryRead(s, service, known)
	if err != nil {
		e.Fatalf("Read of %q: %v", service, err)
	}
	return r
}

func (e *env) tryRead(s store.Store, service string, known store.KnownState) (store.Reading, error) {
	e.Helper()
	type answer struct {
		r   store.Reading
		err error
	}
	answers := make(chan answer, 2)
	s.Read(service, known, func(r store.Reading, err error) { answers <- answer{r, err} })
	select {
	case a := <-answers:
		if len(answers) > 0 {
			e.Fatal("Read called done twice")
		}
		return a.r, a.err
	case <-time.After(timeout):
		e.Fatalf("Read of %q: done was not called within %s", service, timeout)
		panic("unreachable")
	}
}

// full reads all of a service.
func (e *env) full(service string) store.Reading {
	e.Helper()
	r := e.read(e.alpha, service, store.KnownState{})
	if r.Kind != store.Full {
		e.Fatalf("a read that knows nothing gave kind %d, want Full", r.Kind)
	}
	return r
}

// record returns a service's live record, or nil.
func (e *env) record(service, id string) *store.Record {
	e.Helper()
	return find(e.full(service), id)
}

func find(r store.Reading, id string) *store.Record {
	i := slices.IndexFunc(r.Records, func(r *store.Record) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return r.Records[i]
}

func ids(r store.Reading) []string {
	out := []string{}
	for _, rec := range r.Records {
		out = append(out, rec.ID)
	}
	slices.Sort(out)
	return out
}

func tombstoneOf(r store.Reading, id string) (store.Tombstone, bool) {
	i := slices.IndexFunc(r.Tombstones, func(t store.Tombstone) bool { return t.ID == id })
	if i < 0 {
		return store.Tombstone{}, false
	}
	return r.Tombstones[i], true
}

func (e *env) wantIDs(service string, want ...string) {
	e.Helper()
	if want == nil {
		want = []string{}
	}
	if got := ids(e.full(service)); !slices.Equal(got, want) {
		e.Errorf("service %q holds %q, want %q", service, got, want)
	}
}

// state is a reader's fold of readings and pushes: what lives, by ID.
type state struct {
	rev  string
	recs map[string]*store.Record
}

func (s *state) apply(r store.Reading) {
	switch r.Kind {
	case store.Full:
		s.recs = map[string]*store.Record{}
	case store.Unchanged:
	case store.Delta:
		for _, b := range r.Tombstones {
			delete(s.recs, b.ID)
		}
	}
	for _, rec := range r.Records {
		if s.recs == nil {
			s.recs = map[string]*store.Record{}
		}
		s.recs[rec.ID] = rec
	}
	s.rev = r.Rev
}

func (s *state) same(r store.Reading) bool {
	if s.rev != r.Rev || len(s.recs) != len(r.Records) {
		return false
	}
	for _, want := range r.Records {
		got := s.recs[want.ID]
		if got == nil || got.RegisteredAt != want.RegisteredAt || got.Owner != want.Owner ||
			string(got.Payload) != string(want.Payload) || string(got.Overlay) != string(want.Overlay) {
			return false
		}
	}
	return true
}

// watcher collects the notices of one service.
type watcher struct {
	e    *env
	stop func()

	mu      sync.Mutex
	notices []store.Notice
	more    chan struct{}
}

// watch watches a service through the store of alpha and waits until notices of
// later changes arrive.
func (e *env) watch(service string) *watcher {
	e.Helper()
	f := &watcher{e: e, more: make(chan struct{}, 1)}
	f.stop = e.alpha.Watch(service, func(n store.Notice) {
		f.mu.Lock()
		f.notices = append(f.notices, n)
		f.mu.Unlock()
		select {
		case f.more <- struct{}{}:
		default:
		}
	})
	e.Cleanup(f.stop)
	if e.watched[service] {
		return f // pushes come already
	}
	e.watched[service] = true
	all := f.waitUntil("the watch to begin", func(all []store.Notice) bool { return len(all) > 0 })
	if e.harness.Deltas && all[0].Resync != store.ResyncConnected {
		e.Fatalf("a watch began with %+v, want Resync: ResyncConnected", all[0])
	}
	f.clear()
	return f
}

func (f *watcher) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notices = nil
}

// waitUntil waits until ok accepts the notices so far.
func (f *watcher) waitUntil(what string, ok func([]store.Notice) bool) []store.Notice {
	f.e.Helper()
	late := time.After(timeout)
	for {
		f.mu.Lock()
		all := slices.Clone(f.notices)
		f.mu.Unlock()
		if ok(all) {
			return all
		}
		select {
		case <-f.more:
		case <-late:
			f.e.Fatalf("timed out waiting for %s; pushed so far: %+v", what, all)
		}
	}
}

// waitForRev waits for the notice of a revision.
func (f *watcher) waitForRev(rev string) []store.Notice {
	f.e.Helper()
	return f.waitUntil("revision "+rev, func(all []store.Notice) bool {
		return slices.ContainsFunc(all, func(n store.Notice) bool { return n.Reading.Rev == rev })
	})
}
