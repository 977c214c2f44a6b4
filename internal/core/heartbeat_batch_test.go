package core

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// An idle heartbeat hands the store the same batch as the one before. After a change
// it hands over what the engine owns by then.
func TestHeartbeatsShareTheirBatchUntilAChange(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		want := map[string]int64{}
		check := func(what string, changed bool, before *heartbeatBatch) *heartbeatBatch {
			t.Helper()
			now := e.heartbeatBatch()
			if (now != before) != changed {
				t.Errorf("%s: a new batch: %v, want %v", what, now != before, changed)
			}
			got := map[string]int64{}
			for i, g := range now.leases {
				for j, l := range g.Leases {
					got[l.ID] = l.RegisteredAt
					if r := now.services[i].registrations[j]; r.id != l.ID || r.service != g.Service {
						t.Errorf("%s: the lease of %s in %s is the registration of %s in %s", what, l.ID, g.Service, r.id, r.service)
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
		advance(2 * testHeartbeat)
		b := check("registered", true, nil)
		advance(2 * testHeartbeat)
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
		b = check("deregistered without success", true, b)
		e.Supersede("i3")
		delete(want, "i3")
		b = check("superseded", true, b)
		f.loseAll()
		advance(testHeartbeat)
		b = check("registered again", true, b)
		f.set(func() { f.failRenewals = map[string]bool{"g0": true} })
		advance(testHeartbeat)
		f.set(func() { f.failRenewals = nil })
		advance(testHeartbeat)
		check("failed and tried again", false, b)
	})
}

// The earliest write of a service decides when one of its registrations is due.
func TestRegistrationsAreWrittenInFullEveryEightHours(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		back := 0
		e.cfg.Hooks.Reregistered = func(string, string) { back++ }
		written := func() (n int) {
			f.set(func() { n = f.puts })
			return n
		}
		const late = 10 * testHeartbeat // each write may be late by one more interval
		register(t, e, "g", "early", "x")
		advance(rewriteInterval / 2)
		register(t, e, "g", "late", "x")
		for i, want := range []int{2, 3, 4, 5, 6} { // after 4 h, 8 h and so on
			advance(late)
			if got := written(); got != want {
				t.Errorf("after %v written %d times, want %d", time.Duration(i+1)*rewriteInterval/2, got, want)
			}
			advance(rewriteInterval/2 - late)
		}
		if back > 0 {
			t.Errorf("%d are reported as lost and registered again", back)
		}
	})
}
