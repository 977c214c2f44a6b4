package core

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

func TestBeatsAreAtMostOneIntervalApart(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "a", "x")
		began := time.Now()
		pass(10 * time.Minute)
		longest, n := f.renewalGap("g", began)
		if longest > testBeat {
			t.Errorf("two beats are %v apart, more than %v", longest, testBeat)
		}
		if most := int(10*time.Minute/testBeat) * 10 / 8; n > most {
			t.Errorf("%d beats in 10 minutes, more than %d", n, most)
		}
	})
}

func TestOneRoundTripRenewsAll(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		for i := range 100 {
			register(t, e, fmt.Sprint("g", i%2), fmt.Sprint("i", i), "x")
		}
		pass(testBeat)
		if len(f.renewals) != 2 || len(f.renewals[0].ids) != 50 || !f.renewals[0].at.Equal(f.renewals[1].at) {
			t.Errorf("100 leases in 2 groups: %d renewals", len(f.renewals))
		}
	})
}

func TestRetriesAreCloseAndUncapped(t *testing.T) {
	for _, how := range []string{"refused", "frozen"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				e := start(t, f, "alpha")
				stamp := register(t, e, "g", "a", "x")
				pass(10 * time.Second)
				most, away, back := maxRetryPause, func() { f.set(func() { f.down = true }) }, func() { f.set(func() { f.down = false }) }
				if how == "frozen" {
					most, away, back = maxRetryPause+fakeTimeout, f.freeze, f.thaw
				}
				away()
				pass(testBeat)
				began := time.Now()
				pass(time.Hour)
				if longest, _ := f.renewalGap("g", began); longest > most {
					t.Errorf("two tries are %v apart, more than %v", longest, most)
				}
				back()
				pass(testBeat + time.Second)
				v := read(t, e, "g")
				if len(v.Entries) != 1 || v.Entries[0].RegisteredAt != stamp {
					t.Errorf("an hour later it is not back: %v", names(v))
				}
			})
		})
	}
}

func TestHealingRestoresAllOfIt(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		var healed []string
		e.cfg.Hooks.Reregistered = func(_, id string) { healed = append(healed, id) }
		stamp := register(t, e, "g", "a", "payload")
		r := *f.record("g", "a")
		r.Overlay = []byte(`{"drained":true}`)
		f.write("g", r)
		pass(testBeat) // the owner learns of it
		f.loseAll()
		pass(testBeat + time.Second)
		v := read(t, e, "g")
		if len(v.Entries) != 1 {
			t.Fatalf("got %v", names(v))
		}
		back := v.Entries[0]
		if back.RegisteredAt != stamp || string(back.Payload) != "payload" || string(back.Overlay) != `{"drained":true}` || back.TTL != testTTL || back.HeartbeatInterval != testBeat {
			t.Errorf("healed as %+v", back.Record)
		}
		if !slices.Equal(healed, []string{"a"}) {
			t.Errorf("healed %v", healed)
		}
	})
}

func TestHealingMany(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		const n = 2*maxReregisterBatch + 1
		e := start(t, f, "alpha")
		for i := range n {
			register(t, e, "g", fmt.Sprint("i", i), "x")
		}
		f.loseAll()
		pass(testBeat + time.Second)
		if got := len(read(t, e, "g").Entries); got != n {
			t.Errorf("%d of %d are back", got, n)
		}
	})
}

func TestASickGroupDoesNotStarveTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "good", "a", "x")
		register(t, e, "sick", "b", "x")
		f.set(func() { f.failRenewals = map[string]bool{"sick": true} })
		began := time.Now()
		pass(5 * time.Minute)
		// A beat that still retries for the sick one ends when the next is due.
		if longest, _ := f.renewalGap("good", began); longest > testBeat+maxRetryPause {
			t.Errorf("the good group's beats are up to %v apart", longest)
		}
		if got := names(read(t, e, "good")); len(got) != 1 {
			t.Error("the good instance has expired")
		}
		if longest, _ := f.renewalGap("sick", began.Add(testBeat)); longest > maxRetryPause {
			t.Errorf("the sick group's retries are up to %v apart", longest)
		}
	})
}

func TestAFailedBeatIsRetriedInsideItsInterval(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "a", "x")
		for range 50 {
			pass(testBeat - 100*time.Millisecond)
			f.set(func() { f.down = true })
			pass(300 * time.Millisecond)
			f.set(func() { f.down = false })
			pass(maxRetryPause)
			left := f.record("g", "a").ExpiresAt - f.now()
			if left < (testTTL - 2*testBeat).Microseconds() {
				t.Fatalf("%d ms of the lease are left", left/1000)
			}
		}
	})
}

func TestASupersededRegistrationStops(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		a, b := start(t, f, "alpha"), start(t, f, "beta")
		register(t, a, "g", "i", "a")
		register(t, a, "g", "own", "a")
		var told []Loss
		defer a.OnLoss("i", func(l Loss) { told = append(told, l) })()
		register(t, b, "g", "i", "b")
		pass(testBeat + time.Second)
		if !slices.Equal(told, []Loss{LossSuperseded}) {
			t.Fatalf("told %v", told)
		}
		b.Close()
		f.loseAll() // even a loss of memory does not bring the earlier one back
		pass(time.Minute)
		if got := names(read(t, a, "g")); !slices.Equal(got, []string{"own"}) {
			t.Errorf("in the end there is %v", got)
		}
	})
}

func TestDeregisteringASupersededOneLeavesTheNewer(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		a, b := start(t, f, "alpha"), start(t, f, "beta")
		register(t, a, "g", "i", "a")
		register(t, b, "g", "i", "b")
		pass(testBeat + time.Second)
		if err := a.Deregister(t.Context(), "i"); err != nil {
			t.Fatal(err)
		}
		v := read(t, a, "g")
		if len(v.Entries) != 1 || !bytes.Equal(v.Entries[0].Payload, []byte("b")) {
			t.Errorf("there is %v", names(v))
		}
	})
}

func TestABuriedRegistrationStops(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		a, operator := start(t, f, "alpha"), start(t, f, "operator")
		register(t, a, "g", "i", "a")
		var told []Loss
		defer a.OnLoss("i", func(l Loss) { told = append(told, l) })()
		if err := operator.Deregister(t.Context(), "i"); err != nil {
			t.Fatal(err)
		}
		pass(testBeat + time.Second)
		if !slices.Equal(told, []Loss{LossDeregisteredByOther}) {
			t.Errorf("told %v", told)
		}
		f.loseAll()
		pass(time.Minute)
		if got := names(read(t, a, "g")); len(got) != 0 {
			t.Errorf("in the end there is %v", got)
		}
	})
}

// A stall longer than the TTL: its lease has run out, and a reader has dropped it.
func TestAStalledOwnerComesBack(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		stamp := register(t, e, "g", "i", "a")
		w := watch(t, start(t, f, "reader"), "g")
		f.end("g", "i", store.ReasonExpired) // as if it had sent no heartbeat for long
		pass(testBeat + time.Second)
		w.want(false, "i")
		if got := read(t, e, "g").Entries[0].RegisteredAt; got != stamp {
			t.Errorf("back with stamp %d, want %d", got, stamp)
		}
	})
}
