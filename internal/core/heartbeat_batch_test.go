package core

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// An idle beat hands the store the very leases of the last one; one after a
// change hands it what is owned by then.
func TestBeatsAreMadeAnewAfterAChange(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		want := map[string]int64{}
		check := func(what string, changed bool, before *heartbeatBatch) *heartbeatBatch {
			t.Helper()
			now := e.heartbeatBatch()
			if (now != before) != changed {
				t.Errorf("%s: made anew: %v, want %v", what, now != before, changed)
			}
			got := map[string]int64{}
			for i, g := range now.leases {
				for j, l := range g.Leases {
					got[l.ID] = l.RegisteredAt
					if r := now.services[i].registrations[j]; r.id != l.ID || r.service != g.Service {
						t.Errorf("%s: lease %s of %s is of %s of %s", what, l.ID, g.Service, r.id, r.service)
					}
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || now.count != len(want) {
				t.Errorf("%s: %d leases %v, want %v", what, now.count, got, want)
			}
			return now
		}
		for i := range 6 {
			id := fmt.Sprint("i", i)
			want[id] = register(t, e, fmt.Sprint("g", i%2), id, "x")
		}
		pass(2 * testBeat)
		b := check("registered", true, nil)
		pass(2 * testBeat)
		b = check("idle", false, b)
		want["i0"] = register(t, e, "g0", "i0", "y")
		b = check("registered again", true, b)
		want["i0"] = register(t, e, "g1", "i0", "y")
		b = check("moved", true, b)
		if err := e.Deregister(t.Context(), "i1"); err != nil {
			t.Fatal(err)
		}
		delete(want, "i1")
		b = check("deregistered", true, b)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Deregister(ended, "i2"); err == nil {
			t.Fatal("deregistered with an ended context")
		}
		delete(want, "i2")
		b = check("deregistered in vain", true, b)
		e.Supersede("i3")
		delete(want, "i3")
		b = check("superseded", true, b)
		f.loseAll()
		pass(testBeat)
		b = check("healed", true, b)
		f.set(func() { f.failRenewals = map[string]bool{"g0": true} })
		pass(testBeat)
		f.set(func() { f.failRenewals = nil })
		pass(testBeat)
		check("failed and tried again", false, b)
	})
}

// The group's earliest writing says when one of it is due, each time.
func TestRegistrationsAreWrittenInFullEveryEightHours(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		healed := 0
		e.cfg.Hooks.Reregistered = func(string, string) { healed++ }
		written := func() (n int) {
			f.set(func() { n = f.puts })
			return n
		}
		const late = 10 * testBeat // each writing up to one more
		register(t, e, "g", "early", "x")
		pass(rewriteInterval / 2)
		register(t, e, "g", "late", "x")
		for i, want := range []int{2, 3, 4, 5, 6} { // after 4 h, 8 h and so on
			pass(late)
			if got := written(); got != want {
				t.Errorf("after %v written %d times, want %d", time.Duration(i+1)*rewriteInterval/2, got, want)
			}
			pass(rewriteInterval/2 - late)
		}
		if healed > 0 {
			t.Errorf("%d are said to have been lost", healed)
		}
	})
}
