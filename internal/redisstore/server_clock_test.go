package redisstore

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/store"
)

func TestTheClockRemembersHowFarItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &serverClock{}
		server := time.Duration(0) // how far Redis's clock is ahead
		learn := func() { c.note("g", time.Now().Add(server).UnixMicro()) }
		passed := func(what string, ahead time.Duration) {
			t.Helper()
			if got := time.Until(time.UnixMicro(c.passedBy("g", time.Now()))).Round(time.Second); got != ahead {
				t.Errorf("%s: the clock has passed %v from now, want %v", what, got, ahead)
			}
		}
		if got := c.passedBy("g", time.Now()); got != 0 {
			t.Errorf("before any reply it has passed %d", got)
		}
		learn()
		passed("at first", 0)
		server = 10 * time.Second
		learn()
		passed("set forward", 10*time.Second)
		server = 0
		for range 29 {
			time.Sleep(time.Second)
			learn()
			passed("set back", 10*time.Second)
		}
		for range 60 {
			time.Sleep(time.Second)
			learn()
		}
		passed("a minute later", 0)
		time.Sleep(10 * time.Minute)
		if got := c.passedBy("g", time.Now()); got != 0 {
			t.Errorf("long after the last reply it has passed %d", got)
		}
	})
}

// A primary that took over empty and with a clock that is behind gives the newer owner's
// registration a later time than the earlier owner's had.
func TestTheNewestOwnerWinsOnAServerWhoseClockLags(t *testing.T) {
	r := newHarness(t, redistest.WithFakeTime())
	b := r.open("beta")
	first := r.put(r.store, putOf("g", "i", "x"))[0].RegisteredAt
	r.put(b, putOf("other", "o", "z")) // after which beta knows a later time than first
	r.server.StepClock(-10 * time.Second)
	r.do("FLUSHALL")
	second := r.put(b, putOf("g", "i", "y"))[0].RegisteredAt
	if second <= first {
		t.Errorf("registration times %d, and then %d", first, second)
	}
	answer := r.renew("g", store.Lease{ID: "i", RegisteredAt: first})
	if answer.Err != nil { // late: it learns the time
		answer = r.renew("g", store.Lease{ID: "i", RegisteredAt: first})
	}
	if answer.Outcomes["i"] != store.Superseded {
		t.Errorf("the earlier owner's renewal: %+v, want Superseded", answer)
	}
	p := putOf("g", "i", "x")
	p.Reregister, p.RegisteredAt = true, first
	if got := r.put(r.store, p)[0]; got.Outcome != store.Superseded {
		t.Errorf("the earlier owner reregisters: %+v, want Superseded", got)
	}
	if got := r.read("g", "").Records; len(got) != 1 || got[0].Owner != "beta" {
		t.Errorf("the service holds %+v", got)
	}
}
