package storetest

import (
	"fmt"

	"github.com/rollcall-sd/rollcall/internal/store"
)

var watchChecks = []check{
	{name: "Watch reports every change in order", run: watchOrder},
	{name: "Watch chains by the previous revision", needs: deltas, run: watchChain},
	{name: "Watch reports reasons", needs: deltas, run: watchReasons},
	{name: "Watch reports another owner's changes", needs: owners, run: watchOthers},
	{name: "Watch is not woken by another service, a renewal or a repeated call", run: watchQuiet},
	{name: "Watch stopped is not called again", run: watchStopped},
	{name: "Watch by several of one service", run: watchSeveral},
}

// written is the history that watch checks make: its last revision.
func written(e *env, s store.Store) string {
	e.Helper()
	for i := range 10 {
		e.put(s, putOf("g", fmt.Sprint("i", i), "x"))
	}
	registeredAt := e.put(s, putOf("g", "i3", "y"))
	e.deregister(s, "g", "i3", registeredAt)
	e.put(s, putOf("elsewhere", "i4", "x"))
	e.put(s, putOf("g", "i3", "z"))
	return e.full("g").Rev
}

func (f *watcher) fold(start store.Reading, upTo []store.Notice, rev string) state {
	f.e.Helper()
	s := state{}
	s.apply(start)
	for _, n := range upTo {
		if n.Resync != "" {
			f.e.Fatalf("messages were lost: %s", n.Resync)
		}
		s.apply(n.Reading)
		if s.rev == rev {
			break
		}
	}
	return s
}

func watchOrder(e *env) {
	e.put(e.alpha, putOf("g", "before", "x"))
	f := e.watch("g")
	start := e.full("g")
	last := written(e, e.alpha)
	if s := f.fold(start, f.waitForRev(last), last); !s.same(e.full("g")) {
		e.Errorf("the pushes make %+v, a full read gives %v", s.recs, ids(e.full("g")))
	}
}

func watchChain(e *env) {
	e.put(e.alpha, putOf("g", "before", "x"))
	f := e.watch("g")
	at := e.full("g").Rev
	first, last := at, written(e, e.alpha)
	for i, n := range f.waitForRev(last) {
		if n.Reading.Rev == first {
			continue // on a Cluster the push of what came before may be late
		}
		if n.Reading.Kind != store.Delta || n.PreviousRev != at || n.Reading.Rev == at {
			e.Fatalf("notice %d goes from %q to %q, kind %d; the one before ended at %q", i, n.PreviousRev, n.Reading.Rev, n.Reading.Kind, at)
		}
		at = n.Reading.Rev
	}
}

func watchReasons(e *env) {
	left := e.put(e.alpha, putOf("g", "left", "x"))
	moved := e.put(e.alpha, putOf("g", "moved", "x"))
	f := e.watch("g")
	e.deregister(e.alpha, "g", "left", left)
	e.put(e.alpha, putOf("h", "moved", "x"))
	want := map[string]store.Tombstone{
		"left":  {ID: "left", Reason: store.ReasonDeregistered, RegisteredAt: left},
		"moved": {ID: "moved", Reason: store.ReasonMoved, RegisteredAt: moved},
	}
	if e.harness.Leases {
		registeredAt := e.put(e.alpha, putOf("g", "expired", "x"))
		e.backend.Expire("g", "expired")
		e.put(e.alpha, putOf("g", "other", "x")) // it removes what has expired
		want["expired"] = store.Tombstone{ID: "expired", Reason: store.ReasonExpired, RegisteredAt: registeredAt}
	}
	for _, n := range f.waitForRev(e.full("g").Rev) {
		for _, b := range n.Reading.Tombstones {
			if w := want[b.ID]; b.Reason != w.Reason || b.RegisteredAt < w.RegisteredAt {
				e.Errorf("pushed %+v, want %+v", b, w)
			}
			delete(want, b.ID)
		}
	}
	if len(want) > 0 {
		e.Errorf("never pushed: %v", want)
	}
}

func watchOthers(e *env) {
	f := e.watch("g")
	start := e.full("g")
	last := written(e, e.open("beta"))
	if s := f.fold(start, f.waitForRev(last), last); !s.same(e.full("g")) {
		e.Errorf("the pushes make %+v", s.recs)
	}
}

func watchQuiet(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	f := e.watch("g")
	before := e.full("g").Rev
	e.put(e.alpha, putOf("g2", "j", "x"))
	e.renew(e.alpha, "g", store.Lease{ID: "i", RegisteredAt: registeredAt})
	e.put(e.alpha, putOf("g", "i", "x"))
	e.remove(e.alpha, store.Removal{ID: "never"})
	e.put(e.alpha, putOf("g", "last", "x"))
	rev := e.full("g").Rev
	for _, n := range f.waitForRev(rev) {
		// The push of what came before may be late, as above.
		if n.Reading.Rev != rev && n.Reading.Rev != before {
			e.Errorf("pushed as well as the one change: %+v", n)
		}
	}
}

func watchStopped(e *env) {
	f, other := e.watch("g"), e.watch("g")
	f.stop()
	e.put(e.alpha, putOf("g", "i", "x"))
	other.waitForRev(e.full("g").Rev)
	f.waitUntil("no call after stop", func(all []store.Notice) bool { return len(all) == 0 })
	f.stop() // again, which is nothing
	again := e.watch("g")
	e.put(e.alpha, putOf("g", "j", "x"))
	again.waitForRev(e.full("g").Rev)
	other.waitForRev(e.full("g").Rev)
}

func watchSeveral(e *env) {
	var all []*watcher
	for i := range 20 {
		all = append(all, e.watch(fmt.Sprint("g", i%2)))
	}
	for g := range 2 {
		e.put(e.alpha, putOf(fmt.Sprint("g", g), fmt.Sprint("i", g), "x"))
	}
	for i, f := range all {
		f.waitForRev(e.full(fmt.Sprint("g", i%2)).Rev)
	}
}
