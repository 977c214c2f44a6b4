package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rollcall-sd/rollcall/internal/store"
)

var putChecks = []check{
	{name: "Put registers", run: putRegisters},
	{name: "Put answers for each in the given order", run: putAnswersInOrder},
	{name: "Put gives unique and increasing registration times", run: putTimesIncrease},
	{name: "Put of the same again is a renewal", run: putSameAgain},
	{name: "Put of something else replaces", run: putReplaces},
	{name: "Put keeps the overlay that stands", run: putKeepsOverlay},
	{name: "Put with ResetOverlay removes members of the overlay", run: putResets},
	{name: "Put under another service moves the ID", run: putMoves},
	{name: "Put finds by itself where the ID stands", run: putFinds},
	{name: "Put moves back and forth", run: putMovesBack},
	{name: "Put with an ended context does nothing", run: putEnded},
	{name: "Put at once from many goroutines", run: putAtOnce},
	{name: "Put reregisters with its registration time", needs: leases, run: putReregisters},
	{name: "Put reregisters the same again without a change", needs: leases, run: putReregistersTwice},
	{name: "Put reregisters what expired, visibly", needs: leases, run: putReregistersExpired},
	{name: "Put does not reregister what was deregistered", needs: leases, run: putReregistersNoneDeregistered},
	{name: "Put after the end of a record registers again", run: putAfterEnd},
}

func putRegisters(e *env) {
	p := putOf("g", "i", "x")
	p.Hints.NewID = true
	registeredAt := e.put(e.alpha, p)
	r := e.full("g")
	rec := find(r, "i")
	if rec == nil || len(r.Records) != 1 {
		e.Fatalf("the service holds %v", ids(r))
	}
	if rec.Owner != "alpha" || rec.RegisteredAt != registeredAt || string(rec.Payload) != string(p.Payload) || rec.Overlay != nil {
		e.Errorf("it reads as %+v", rec)
	}
	if r.Rev == "" {
		e.Error("a service with a record has no revision")
	}
	if !e.harness.Leases {
		if rec.ExpiresAt != 0 || rec.TTL != 0 || r.NextExpiry != 0 {
			e.Errorf("without leases it has the lease %v, %d, %d", rec.TTL, rec.ExpiresAt, r.NextExpiry)
		}
		return
	}
	if rec.TTL != ttl || rec.HeartbeatInterval != heartbeat {
		e.Errorf("TTL and heartbeat interval read as %v and %v", rec.TTL, rec.HeartbeatInterval)
	}
	if left := rec.ExpiresAt - r.Now; left <= 0 || left > ttl.Microseconds() || rec.ExpiresAt-rec.RegisteredAt != ttl.Microseconds() {
		e.Errorf("it expires %d µs after now and %d after its registration time", left, rec.ExpiresAt-rec.RegisteredAt)
	}
	if r.NextExpiry != rec.ExpiresAt {
		e.Errorf("the earliest expiry is %d, want %d", r.NextExpiry, rec.ExpiresAt)
	}
}

func putAnswersInOrder(e *env) {
	var puts []store.Put
	for i := range 40 {
		puts = append(puts, putOf(fmt.Sprint("g", i%3), fmt.Sprint("i", i), "x"))
	}
	for i, r := range e.alpha.Put(e.Context(), puts) {
		if r.Err != nil || r.Outcome != store.Done {
			e.Fatalf("put %d: %+v", i, r)
		}
		if rec := e.record(puts[i].Service, puts[i].ID); rec == nil || rec.RegisteredAt != r.RegisteredAt {
			e.Errorf("put %d was answered with registration time %d, and it reads as %+v", i, r.RegisteredAt, rec)
		}
	}
	if got := e.alpha.Put(e.Context(), nil); len(got) != 0 {
		e.Errorf("no put was answered with %v", got)
	}
}

func putTimesIncrease(e *env) {
	var puts []store.Put
	for i := range 600 {
		puts = append(puts, putOf("g", fmt.Sprint("i", i), "x"))
	}
	last := int64(0)
	for i, r := range e.alpha.Put(e.Context(), puts) {
		if r.Err != nil {
			e.Fatal(r.Err)
		}
		if r.RegisteredAt <= last {
			e.Fatalf("put %d has registration time %d, the one before it %d", i, r.RegisteredAt, last)
		}
		last = r.RegisteredAt
	}
	if n := len(e.full("g").Records); n != len(puts) {
		e.Errorf("%d records of %d", n, len(puts))
	}
}

func putSameAgain(e *env) {
	first := e.put(e.alpha, putOf("g", "i", "x"))
	before := e.full("g")
	if again := e.put(e.alpha, putOf("g", "i", "x")); again != first {
		e.Errorf("the registration time went from %d to %d", first, again)
	}
	if after := e.full("g"); after.Rev != before.Rev {
		e.Errorf("the revision went from %s to %s", before.Rev, after.Rev)
	}
}

func putReplaces(e *env) {
	first := e.put(e.alpha, putOf("g", "i", "x"))
	before := e.full("g")
	second := e.put(e.alpha, putOf("g", "i", "y"))
	after := e.full("g")
	if second <= first || after.Rev == before.Rev {
		e.Errorf("registration times %d and %d, revisions %s and %s", first, second, before.Rev, after.Rev)
	}
	if len(after.Records) != 1 || string(after.Records[0].Payload) != `{"p":"y"}` || after.Records[0].RegisteredAt != second {
		e.Errorf("it reads as %+v", after.Records)
	}
}

func putKeepsOverlay(e *env) {
	p := putOf("g", "i", "x")
	p.Overlay = []byte(`{"o":1}`)
	if r := e.try(e.alpha, p); string(r.Overlay) != `{"o":1}` {
		e.Errorf("the answer has the overlay %q", r.Overlay)
	}
	q := putOf("g", "i", "y")
	q.Overlay = []byte(`{"o":2}`)
	if r := e.try(e.alpha, q); string(r.Overlay) != `{"o":1}` {
		e.Errorf("a replacement was answered with the overlay %q", r.Overlay)
	}
	if rec := e.record("g", "i"); string(rec.Overlay) != `{"o":1}` {
		e.Errorf("the overlay is %q", rec.Overlay)
	}
	if r := e.try(e.alpha, putOf("g", "i", "y")); string(r.Overlay) != `{"o":1}` {
		e.Errorf("a renewal was answered with the overlay %q", r.Overlay)
	}
}

func putResets(e *env) {
	p := putOf("g", "i", "x")
	p.Overlay = []byte(`{"a":1,"b":2}`)
	first := e.put(e.alpha, p)
	q := putOf("g", "i", "x")
	q.ResetOverlay = []string{"b", "never"}
	if r := e.try(e.alpha, q); string(r.Overlay) != `{"a":1}` || r.RegisteredAt <= first {
		e.Errorf("answered with overlay %q and registration time %d after %d", r.Overlay, r.RegisteredAt, first)
	}
	q.ResetOverlay = []string{"a"}
	if r := e.try(e.alpha, q); len(r.Overlay) != 0 {
		e.Errorf("answered with overlay %q", r.Overlay)
	}
	second := e.record("g", "i")
	if len(second.Overlay) != 0 {
		e.Errorf("the overlay is %q", second.Overlay)
	}
	if third := e.put(e.alpha, q); third != second.RegisteredAt {
		e.Errorf("nothing is left to reset, and the registration time went from %d to %d", second.RegisteredAt, third)
	}
}

func putMoves(e *env) {
	first := e.put(e.alpha, putOf("old", "i", "x"))
	e.put(e.alpha, putOf("old", "stays", "x"))
	p := putOf("new", "i", "x")
	p.Hints.PreviousService = "old"
	if second := e.put(e.alpha, p); second <= first {
		e.Errorf("registration times %d and %d", first, second)
	}
	e.wantIDs("old", "stays")
	e.wantIDs("new", "i")
	e.wantEvidence("old", "i", store.ReasonMoved, first)
}

// wantEvidence looks for the tombstone in a read where those are kept.
func (e *env) wantEvidence(service, id string, reason store.Reason, registeredAt int64) {
	e.Helper()
	t, ok := tombstoneOf(e.full(service), id)
	if e.harness.Deltas && (!ok || t.Reason != reason || t.RegisteredAt < registeredAt) {
		e.Errorf("the tombstone of %q in %q is %+v, %v; want %s, of registration time %d or later", id, service, t, ok, reason, registeredAt)
	}
}

// A generated ID has no entry in the ID index.
const uuid = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"

func putFinds(e *env) {
	for _, id := range []string{"chosen", uuid} {
		e.put(e.alpha, putOf("old", id, "x"))
		e.put(e.alpha, putOf("new", id, "x"))
	}
	e.wantIDs("old")
	e.wantIDs("new", uuid, "chosen")
}

func putMovesBack(e *env) {
	at, last := "one", int64(0)
	e.put(e.alpha, putOf(at, "i", "x"))
	for range 5 {
		to := map[string]string{"one": "two", "two": "one"}[at]
		p := putOf(to, "i", "x")
		p.Hints.PreviousService = at
		registeredAt := e.put(e.alpha, p)
		if registeredAt <= last {
			e.Errorf("registration time %d after %d", registeredAt, last)
		}
		e.wantIDs(at)
		e.wantIDs(to, "i")
		at, last = to, registeredAt
	}
}

func putEnded(e *env) {
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	for _, r := range e.alpha.Put(ctx, []store.Put{putOf("g", "i", "x"), putOf("g", "j", "x")}) {
		if !errors.Is(r.Err, context.Canceled) {
			e.Errorf("got %v", r.Err)
		}
	}
	if _, err := e.alpha.Remove(ctx, store.Removal{ID: "i"}); !errors.Is(err, context.Canceled) {
		e.Errorf("Remove gave %v", err)
	}
	e.put(e.alpha, putOf("g", "k", "x")) // what was abandoned would have been sent before this
	e.wantIDs("g", "k")
}

func putAtOnce(e *env) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[int64]bool{}
	for i := range 16 {
		wg.Go(func() {
			for j := range 10 {
				r := e.alpha.Put(e.Context(), []store.Put{putOf("g", fmt.Sprint(i, "-", j), "x")})[0]
				mu.Lock()
				if r.Err != nil || r.Outcome != store.Done || seen[r.RegisteredAt] {
					e.Errorf("%+v, registration time seen before: %v", r, seen[r.RegisteredAt])
				}
				seen[r.RegisteredAt] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if n := len(e.full("g").Records); n != 160 {
		e.Errorf("%d records of 160", n)
	}
}

func putReregisters(e *env) {
	e.put(e.alpha, putOf("g", "other", "x"))
	registeredAt := e.full("g").Now - 5_000_000
	p := reregister(putOf("g", "i", "x"), registeredAt)
	p.Overlay = []byte(`{"o":1}`)
	if r := e.try(e.alpha, p); r.Outcome != store.Done || r.RegisteredAt != registeredAt || string(r.Overlay) != `{"o":1}` {
		e.Errorf("answered with %+v, want registration time %d", r, registeredAt)
	}
	if rec := e.record("g", "i"); rec == nil || rec.RegisteredAt != registeredAt || rec.Owner != "alpha" || string(rec.Overlay) != `{"o":1}` {
		e.Errorf("it reads as %+v, want registration time %d", rec, registeredAt)
	}
	// Its own older registration is what a failover to a lagging replica leaves behind.
	newer := reregister(putOf("g", "i", "y"), registeredAt+1000)
	if r := e.try(e.alpha, newer); r.Outcome != store.Done || r.RegisteredAt != registeredAt+1000 {
		e.Errorf("over an older one of its own: %+v", r)
	}
}

func putReregistersTwice(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	before := e.full("g").Rev
	if r := e.try(e.alpha, reregister(putOf("g", "i", "x"), registeredAt)); r.Outcome != store.Done || r.RegisteredAt != registeredAt {
		e.Errorf("answered with %+v", r)
	}
	if after := e.full("g").Rev; after != before {
		e.Errorf("the revision went from %s to %s", before, after)
	}
}

func putReregistersExpired(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	before := e.full("g").Rev
	e.backend.Expire("g", "i")
	e.wantIDs("g")
	if r := e.try(e.alpha, reregister(putOf("g", "i", "x"), registeredAt)); r.Outcome != store.Done || r.RegisteredAt != registeredAt {
		e.Errorf("answered with %+v, want registration time %d", r, registeredAt)
	}
	after := e.full("g")
	if rec := find(after, "i"); rec == nil || rec.RegisteredAt != registeredAt {
		e.Errorf("it reads as %+v", rec)
	}
	if after.Rev == before {
		e.Error("a reader that had dropped it got the answer that nothing changed")
	}
}

func putReregistersNoneDeregistered(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	e.deregister(e.alpha, "g", "i", registeredAt)
	if r := e.try(e.alpha, reregister(putOf("g", "i", "x"), registeredAt)); r.Outcome != store.Deregistered {
		e.Errorf("after its owner deregistered it: %+v", r)
	}
	second := e.put(e.alpha, putOf("g", "i", "x"))
	e.remove(e.alpha, store.Removal{ID: "i"})
	if r := e.try(e.alpha, reregister(putOf("g", "i", "x"), second)); r.Outcome != store.Deregistered {
		e.Errorf("after an operator removed it: %+v", r)
	}
	e.wantIDs("g")
}

func putAfterEnd(e *env) {
	first := e.put(e.alpha, putOf("g", "i", "x"))
	e.deregister(e.alpha, "g", "i", first)
	e.wantIDs("g")
	if second := e.put(e.alpha, putOf("g", "i", "x")); second <= first {
		e.Errorf("registration times %d and %d", first, second)
	}
	e.wantIDs("g", "i")
}
