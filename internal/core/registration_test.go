package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

func TestDeregisterDuringAnOutageStopsTheHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "gone", "x")
		register(t, e, "g", "stays", "x")
		var told []Loss
		defer e.OnLoss("gone", func(l Loss) { told = append(told, l) })()
		f.freeze()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := e.Deregister(ctx, "gone"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		at := time.Now()
		if !slices.Equal(told, []Loss{LossDeregistered}) {
			t.Errorf("told %v", told)
		}
		pass(30 * time.Second)
		f.loseAll()
		f.thaw()
		pass(time.Minute)
		if f.renewed("gone", at) {
			t.Error("it was renewed after its Deregister had returned")
		}
		if got := names(read(t, e, "g")); !slices.Equal(got, []string{"stays"}) {
			t.Errorf("in the end there is %v", got)
		}
	})
}

// What a Deregister that failed is tried again for is one's own registration.
func TestDeregisterTriedAgainSparesTheNewerOwner(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e, newer := start(t, f, "alpha"), start(t, f, "beta")
		register(t, e, "g", "i", "x")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Deregister(ctx, "i"); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		register(t, newer, "g", "i", "y")
		if err := e.Deregister(t.Context(), "i"); err != nil {
			t.Fatal(err)
		}
		if got := names(read(t, newer, "g")); !slices.Equal(got, []string{"i"}) {
			t.Errorf("the newer owner's registration is gone: %v", got)
		}
		if err := e.Deregister(t.Context(), "i"); err != nil {
			t.Fatal(err)
		}
		if got := names(read(t, newer, "g")); len(got) != 0 {
			t.Errorf("and then it could not be ended by its ID: %v", got)
		}
	})
}

func TestDeregisterWithAnEndedContextStopsTheHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "i", "x")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Deregister(ctx, "i"); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		at := time.Now()
		pass(time.Minute)
		if f.renewed("i", at) {
			t.Error("it is still renewed")
		}
	})
}

// A beat in flight while its registration is ended finds it lost, and must not heal it.
func TestDeregisterBeatsAHeartbeatInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.set(func() { f.latency = 200 * time.Millisecond })
		for round := range 100 {
			id := fmt.Sprint("i", round)
			register(t, e, "g", id, "x")
			f.loseAll()
			pass(time.Duration(round*37%3000) * time.Millisecond)
			if err := e.Deregister(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			pass(500 * time.Millisecond)
			if got := names(read(t, e, "g")); len(got) != 0 {
				t.Fatalf("round %d: %v is back", round, got)
			}
		}
	})
}

func TestAFailedReplacementLeavesTheEarlierRunning(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		stamp := register(t, e, "g", "i", "first")
		f.freeze()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := e.Register(ctx, RegisterRequest{Service: "h", ID: "i", Payload: []byte("second")}); err == nil {
			t.Fatal("registered on a frozen backend")
		}
		f.loseAll()
		f.thaw()
		pass(testBeat + time.Second)
		v := read(t, e, "g")
		if len(v.Entries) != 1 || v.Entries[0].RegisteredAt != stamp || string(v.Entries[0].Payload) != "first" {
			t.Errorf("the earlier did not come back: %v", names(v))
		}
		if got := names(read(t, e, "h")); len(got) != 0 {
			t.Errorf("the failed one is kept alive: %v", got)
		}
	})
}

func TestAFailedFirstRegisterIsNotKeptAlive(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.set(func() { f.down = true })
		if err := e.Register(t.Context(), RegisterRequest{Service: "g", ID: "i"}); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		f.set(func() { f.down = false })
		pass(time.Minute)
		if len(f.renewals) != 0 {
			t.Error("it is renewed")
		}
	})
}

func TestTheContextOfRegisterBoundsTheCallOnly(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		ctx, cancel := context.WithCancel(t.Context())
		if err := e.Register(ctx, RegisterRequest{Service: "g", ID: "i"}); err != nil {
			t.Fatal(err)
		}
		cancel()
		pass(10 * testTTL)
		if got := names(read(t, e, "g")); !slices.Equal(got, []string{"i"}) {
			t.Errorf("there is %v", got)
		}
	})
}

func TestRegisterAndDeregisterAtOnceEndInAgreement(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		for range 50 {
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() { register(t, e, "g", "i", fmt.Sprint(i)) })
				wg.Go(func() {
					if err := e.Deregister(t.Context(), "i"); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if err := e.Deregister(t.Context(), "i"); err != nil {
				t.Fatal(err)
			}
			f.loseAll()
			pass(testBeat)
			if got := names(read(t, e, "g")); len(got) != 0 {
				t.Fatalf("%v came back", got)
			}
		}
	})
}

func TestSupersedeTellsOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "i", "x")
		var told []Loss
		stop := e.OnLoss("i", func(l Loss) { told = append(told, l) })
		if !e.Supersede("i") || e.Supersede("i") || e.Supersede("never") {
			t.Error("Supersede did not say whether there was one")
		}
		synctest.Wait()
		if !slices.Equal(told, []Loss{LossSuperseded}) {
			t.Errorf("told %v", told)
		}
		stop()
		register(t, e, "g", "i", "y")
		e.Supersede("i")
		if len(told) != 1 {
			t.Error("told after stop")
		}
	})
}

// A loss between a registration and the listening for losses is told all the same.
func TestALossIsToldToWhoeverListensLate(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e, newer := start(t, f, "alpha"), start(t, f, "beta")
		for _, id := range []string{"taken", "removed", "stays"} {
			register(t, e, "g", id, "x")
		}
		register(t, newer, "g", "taken", "y")
		if err := newer.Deregister(t.Context(), "removed"); err != nil {
			t.Fatal(err)
		}
		pass(2 * testBeat)
		for id, want := range map[string][]Loss{"taken": {LossSuperseded}, "removed": {LossDeregisteredByOther}, "stays": nil} {
			var told []Loss
			e.OnLoss(id, func(l Loss) { told = append(told, l) })()
			if !slices.Equal(told, want) {
				t.Errorf("of %q it told %v, want %v", id, told, want)
			}
		}
	})
}
