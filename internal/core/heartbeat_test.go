package core

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

func TestHeartbeatsAreAtMostOneIntervalApart(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "a", "x")
		began := time.Now()
		advance(10 * time.Minute)
		longest, n := f.renewalGap("g", began)
		if longest > testHeartbeat {
			t.Errorf("two heartbeats are %v apart, more than %v", longest, testHeartbeat)
		}
		if limit := int(10*time.Minute/testHeartbeat) * 10 / 8; n > limit {
			t.Errorf("%d heartbeats in 10 minutes, more than %d", n, limit)
		}
	})
}

func TestOneRoundTripRenewsAll(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		for i := range 100 {
			register(t, e, fmt.Sprint("g", i%2), fmt.Sprint("i", i), "x")
		}
		advance(testHeartbeat)
		if len(f.renewals) != 2 || len(f.renewals[0].ids) != 50 || !f.renewals[0].at.Equal(f.renewals[1].at) {
			t.Errorf("100 leases in 2 services: %d renewals", len(f.renewals))
		}
	})
}

func TestRetriesHaveNoLimit(t *testing.T) {
	for _, how := range []string{"refused", "frozen"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				e := start(t, f, "alpha")
				registeredAt := register(t, e, "g", "a", "x")
				advance(10 * time.Second)
				most, away, back := maxRetryPause, func() { f.set(func() { f.down = true }) }, func() { f.set(func() { f.down = false }) }
				if how == "frozen" {
					most, away, back = maxRetryPause+fakeTimeout, f.freeze, f.thaw
				}
				away()
				advance(testHeartbeat)
				began := time.Now()
				advance(time.Hour)
				if longest, _ := f.renewalGap("g", began); longest > most {
					t.Errorf("two attempts are %v apart, more than %v", longest, most)
				}
				back()
				advance(testHeartbeat + time.Second)
				v := read(t, e, "g")
				if len(v.Entries) != 1 || v.Entries[0].RegisteredAt != registeredAt {
					t.Errorf("an hour later the instances are %v, want the registration as it was", idsOf(v))
				}
			})
		})
	}
}

func TestReregistrationRestoresTheWholeRecord(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		var back []string
		e.cfg.Hooks.Reregistered = func(_, id string) { back = append(back, id) }
		registeredAt := register(t, e, "g", "a", "payload")
		r := *f.record("g", "a")
		r.Overlay = []byte(`{"drained":true}`)
		f.write("g", r)
		advance(testHeartbeat) // the owner learns of it
		f.loseAll()
		advance(testHeartbeat + time.Second)
		v := read(t, e, "g")
		if len(v.Entries) != 1 {
			t.Fatalf("the instances are %v, want one", idsOf(v))
		}
		entry := v.Entries[0]
		if entry.RegisteredAt != registeredAt || string(entry.Payload) != "payload" || string(entry.Overlay) != `{"drained":true}` || entry.TTL != testTTL || entry.HeartbeatInterval != testHeartbeat {
			t.Errorf("registered again as %+v", entry.Record)
		}
		if !slices.Equal(back, []string{"a"}) {
			t.Errorf("reported as registered again: %v", back)
		}
	})
}

func TestManyRegistrationsAreReregistered(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		payload := strings.Repeat("x", 3000)
		n := 6*minReregisterBytes/(recordOverheadBytes+len(payload)) + 1 // three batches
		e := start(t, f, "alpha")
		for i := range n {
			register(t, e, "g", fmt.Sprint("i", i), payload)
		}
		f.loseAll()
		advance(testHeartbeat + time.Second)
		if got := len(read(t, e, "g").Entries); got != n {
			t.Errorf("%d of %d are registered again", got, n)
		}
	})
}

func TestAFailingServiceDoesNotDelayTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "good", "a", "x")
		register(t, e, "failing", "b", "x")
		f.set(func() { f.failRenewals = map[string]bool{"failing": true} })
		began := time.Now()
		advance(5 * time.Minute)
		// A heartbeat that still retries for the failing service ends when the next is due.
		if longest, _ := f.renewalGap("good", began); longest > testHeartbeat+maxRetryPause {
			t.Errorf("the heartbeats of the good service are up to %v apart", longest)
		}
		if got := idsOf(read(t, e, "good")); len(got) != 1 {
			t.Error("the good instance has expired")
		}
		if longest, _ := f.renewalGap("failing", began.Add(testHeartbeat)); longest > maxRetryPause {
			t.Errorf("the retries for the failing service are up to %v apart", longest)
		}
	})
}

func TestAFailedHeartbeatIsRetriedWithinItsInterval(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "a", "x")
		for range 50 {
			advance(testHeartbeat - 100*time.Millisecond)
			f.set(func() { f.down = true })
			advance(300 * time.Millisecond)
			f.set(func() { f.down = false })
			advance(maxRetryPause)
			left := f.record("g", "a").ExpiresAt - f.now()
			if left < (testTTL - 2*testHeartbeat).Microseconds() {
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
		var losses []Loss
		defer a.OnLoss("i", func(l Loss) { losses = append(losses, l) })()
		register(t, b, "g", "i", "b")
		advance(testHeartbeat + time.Second)
		if !slices.Equal(losses, []Loss{LossSuperseded}) {
			t.Fatalf("the losses are %v", losses)
		}
		b.Close()
		f.loseAll() // which does not bring the earlier one back
		advance(time.Minute)
		if got := idsOf(read(t, a, "g")); !slices.Equal(got, []string{"own"}) {
			t.Errorf("in the end the instances are %v", got)
		}
	})
}

func TestDeregisterOfASupersededRegistrationLeavesTheNewer(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		a, b := start(t, f, "alpha"), start(t, f, "beta")
		register(t, a, "g", "i", "a")
		register(t, b, "g", "i", "b")
		advance(testHeartbeat + time.Second)
		if err := a.Deregister(t.Context(), "i"); err != nil {
			t.Fatal(err)
		}
		v := read(t, a, "g")
		if len(v.Entries) != 1 || !bytes.Equal(v.Entries[0].Payload, []byte("b")) {
			t.Errorf("the instances are %v", idsOf(v))
		}
	})
}

func TestADeregisteredRegistrationStops(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		a, operator := start(t, f, "alpha"), start(t, f, "operator")
		register(t, a, "g", "i", "a")
		var losses []Loss
		defer a.OnLoss("i", func(l Loss) { losses = append(losses, l) })()
		if err := operator.Deregister(t.Context(), "i"); err != nil {
			t.Fatal(err)
		}
		advance(testHeartbeat + time.Second)
		if !slices.Equal(losses, []Loss{LossDeregisteredByOther}) {
			t.Errorf("the losses are %v", losses)
		}
		f.loseAll()
		advance(time.Minute)
		if got := idsOf(read(t, a, "g")); len(got) != 0 {
			t.Errorf("in the end the instances are %v", got)
		}
	})
}

// An owner that was stalled for longer than the TTL: its lease has ended, and a watch
// has dropped the instance.
func TestAStalledOwnerComesBack(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		registeredAt := register(t, e, "g", "i", "a")
		w := watch(t, start(t, f, "reader"), "g")
		f.end("g", "i", store.ReasonExpired) // as if it had sent no heartbeat for long
		advance(testHeartbeat + time.Second)
		w.want(false, "i")
		if got := read(t, e, "g").Entries[0].RegisteredAt; got != registeredAt {
			t.Errorf("registered again with the time %d, want %d", got, registeredAt)
		}
	})
}
