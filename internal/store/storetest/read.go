package storetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

var readChecks = []check{
	{name: "Read of nothing is full and without a revision", run: readNothing},
	{name: "Read starts after the call", run: readAfter},
	{name: "Read of the known revision is Unchanged", needs: deltas, run: readUnchanged},
	{name: "Read with a known revision returns what changed", needs: deltas, run: readDelta},
	{name: "Read with an unknown revision is full", run: readUnknown},
	{name: "Read reports what of a known revision expired", needs: deltas | leases, run: readExpired},
	{name: "Read in full reports what expired", needs: deltas | leases, run: readFullExpired},
	{name: "Read reports the earliest expiry", needs: leases, run: readNextExpiry},
	{name: "Read at once from many goroutines", run: readAtOnce},
	{name: "Read follows any history", run: readHistory},
	{name: "Current is the same pointer until something changes", unless: deltas, run: readLocal},
}

func readNothing(e *env) {
	r := e.full("g")
	if r.Rev != "" || len(r.Records) != 0 {
		e.Errorf("got %+v", r)
	}
}

func readAfter(e *env) {
	known := store.KnownState{}
	for i := range 50 {
		id := fmt.Sprint("i", i)
		e.put(e.alpha, putOf("g", id, "x"))
		r := e.read(e.alpha, "g", known)
		if find(r, id) == nil {
			e.Fatalf("a read after the put of %q does not show it: %v", id, ids(r))
		}
		known = store.KnownState{Rev: r.Rev, NextExpiry: r.NextExpiry}
	}
}

func readUnchanged(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	full := e.full("g")
	r := e.read(e.alpha, "g", store.KnownState{Rev: full.Rev, NextExpiry: full.NextExpiry})
	if r.Kind != store.Unchanged || r.Rev != full.Rev || len(r.Expired) != 0 || r.NextExpiry != full.NextExpiry || len(r.Records) != 0 {
		e.Errorf("got %+v", r)
	}
	if r.Now < full.Now {
		e.Errorf("the clock went from %d to %d", full.Now, r.Now)
	}
}

func readDelta(e *env) {
	stays := e.put(e.alpha, putOf("g", "stays", "x"))
	replaced := e.put(e.alpha, putOf("g", "replaced", "x"))
	left := e.put(e.alpha, putOf("g", "left", "x"))
	moved := e.put(e.alpha, putOf("g", "moved", "x"))
	full := e.full("g")
	e.put(e.alpha, putOf("g", "new", "x"))
	e.put(e.alpha, putOf("g", "replaced", "y"))
	e.deregister(e.alpha, "g", "left", left)
	e.put(e.alpha, putOf("h", "moved", "x"))
	r := e.read(e.alpha, "g", store.KnownState{Rev: full.Rev, NextExpiry: full.NextExpiry})
	if r.Kind != store.Delta {
		e.Fatalf("kind %d, want Delta", r.Kind)
	}
	if got := ids(r); !slices.Equal(got, []string{"new", "replaced"}) {
		e.Errorf("records %v", got)
	}
	if rec := find(r, "replaced"); rec == nil || rec.RegisteredAt <= replaced || string(rec.Payload) != `{"p":"y"}` {
		e.Errorf("the replaced reads as %+v", rec)
	}
	if t, ok := tombstoneOf(r, "left"); !ok || t.Reason != store.ReasonDeregistered || t.RegisteredAt < left {
		e.Errorf("the evidence of the left is %+v, %v", t, ok)
	}
	if t, ok := tombstoneOf(r, "moved"); !ok || t.Reason != store.ReasonMoved || t.RegisteredAt < moved {
		e.Errorf("the evidence of the moved is %+v, %v", t, ok)
	}
	fold := state{}
	fold.apply(full)
	fold.apply(r)
	if now := e.full("g"); !fold.same(now) {
		e.Errorf("full and delta make %v, but a full read gives %v", fold, ids(now))
	}
	if fold.recs["stays"].RegisteredAt != stays {
		e.Error("what stays has changed")
	}
}

func readUnknown(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	r := e.read(e.alpha, "g", store.KnownState{Rev: "17.stranger:1", NextExpiry: 3})
	if r.Kind != store.Full || !slices.Equal(ids(r), []string{"i"}) {
		e.Errorf("got %+v", r)
	}
	if r := e.read(e.alpha, "never", store.KnownState{Rev: "17.stranger:1"}); r.Kind != store.Full || r.Rev != "" {
		e.Errorf("of an unknown service: %+v", r)
	}
}

func readExpired(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	e.put(e.alpha, putOf("g", "j", "x"))
	full := e.full("g")
	e.backend.Expire("g", "i")
	// The reader reads because NextExpiry has passed.
	r := e.read(e.alpha, "g", store.KnownState{Rev: full.Rev, NextExpiry: 1})
	// A store may collect what a read finds expired, which is a change.
	_, collected := tombstoneOf(r, "i")
	if !collected && (r.Kind != store.Unchanged || !slices.Equal(r.Expired, []string{"i"})) {
		e.Errorf("got %+v", r)
	}
	if j := find(full, "j"); r.NextExpiry != j.ExpiresAt {
		e.Errorf("the earliest expiry is %d, want %d", r.NextExpiry, j.ExpiresAt)
	}
	// The next write removes what has expired, which is a change.
	e.put(e.alpha, putOf("g", "k", "x"))
	r = e.read(e.alpha, "g", store.KnownState{Rev: full.Rev, NextExpiry: full.NextExpiry})
	if t, ok := tombstoneOf(r, "i"); r.Kind != store.Delta || !ok || t.Reason != store.ReasonExpired || len(r.Expired) != 0 {
		e.Errorf("after a write: %+v", r)
	}
}

func readFullExpired(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	e.put(e.alpha, putOf("g", "j", "x"))
	e.backend.Expire("g", "i")
	for range 2 { // before and after another call removed it
		e.wantIDs("g", "j")
		e.wantEvidence("g", "i", store.ReasonExpired, registeredAt)
		e.put(e.alpha, putOf("g", "j", "y"))
	}
}

func readNextExpiry(e *env) {
	for i, life := range []int{3, 1, 2} {
		p := putOf("g", fmt.Sprint("i", i), "x")
		p.TTL = time.Duration(life) * ttl
		e.put(e.alpha, p)
	}
	r := e.full("g")
	if want := find(r, "i1").ExpiresAt; r.NextExpiry != want {
		e.Errorf("the earliest expiry is %d, want %d", r.NextExpiry, want)
	}
}

func readAtOnce(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	full := e.full("g")
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			known := store.KnownState{}
			if i%2 == 0 {
				known = store.KnownState{Rev: full.Rev, NextExpiry: full.NextExpiry}
			}
			done := make(chan error, 2)
			e.alpha.Read("g", known, func(r store.Reading, err error) {
				if err == nil && r.Rev != full.Rev {
					err = fmt.Errorf("revision %q, want %q", r.Rev, full.Rev)
				}
				done <- err
			})
			if err := <-done; err != nil {
				e.Error(err)
			}
		})
	}
	wg.Wait()
}

// readHistory folds readings through a made-up history, some of it unseen.
func readHistory(e *env) {
	fold, known := state{}, store.KnownState{}
	times := map[string]int64{}
	n := uint32(1)
	for step := range 200 {
		n = n*1664525 + 1013904223
		id := fmt.Sprint("i", n>>28)
		switch (n >> 20) % 5 {
		case 0, 1:
			times[id] = e.put(e.alpha, putOf("g", id, fmt.Sprint(step)))
		case 2:
			e.deregister(e.alpha, "g", id, times[id])
		case 3:
			e.put(e.alpha, putOf("elsewhere", id, "x"))
		case 4:
			if e.harness.Leases {
				e.backend.Expire("g", id)
				e.put(e.alpha, putOf("g", "pruner", fmt.Sprint(step)))
			}
		}
		if (n>>24)%3 == 0 {
			continue
		}
		r := e.read(e.alpha, "g", known)
		fold.apply(r)
		for _, id := range r.Expired {
			delete(fold.recs, id)
		}
		known = store.KnownState{Rev: r.Rev, NextExpiry: r.NextExpiry}
		if now := e.full("g"); !fold.same(now) {
			e.Fatalf("step %d: the fold is at %s with %d records, a full read at %s with %v", step, fold.rev, len(fold.recs), now.Rev, ids(now))
		}
	}
}

func readLocal(e *env) {
	s, ok := e.alpha.(store.Local)
	if !ok {
		e.Fatal("a store without Deltas must be a store.Local")
	}
	current := func() *store.LocalState {
		e.Helper()
		r, err := s.Current("g")
		if err != nil {
			e.Fatal(err)
		}
		return r
	}
	e.put(e.alpha, putOf("g", "i", "x"))
	before := current()
	if again := current(); again != before {
		e.Error("Current returned another state although nothing changed")
	}
	e.put(e.alpha, putOf("other", "i2", "x"))
	if current() != before {
		e.Error("another service's change replaced the state")
	}
	e.put(e.alpha, putOf("g", "j", "x"))
	if current() == before || len(before.Records) != 1 {
		e.Error("a change did not replace the state, or modified the one returned before")
	}
}
