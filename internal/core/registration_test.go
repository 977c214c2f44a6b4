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
		var losses []Loss
		defer e.OnLoss("gone", func(l Loss) { losses = append(losses, l) })()
		f.freeze()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := e.Deregister(ctx, "gone"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		at := time.Now()
		if !slices.Equal(losses, []Loss{LossDeregistered}) {
			t.Errorf("the losses are %v", losses)
		}
		e.OnLoss("gone", func(l Loss) { losses = append(losses, l) })
		if !slices.Equal(losses, []Loss{LossDeregistered, LossDeregistered}) {
			t.Errorf("with a listener that comes later the losses are %v", losses)
		}
		advance(30 * time.Second)
		f.loseAll()
		f.thaw()
		advance(time.Minute)
		if f.renewed("gone", at) {
			t.Error("it was renewed after its Deregister had returned")
		}
		if got := idsOf(read(t, e, "g")); !slices.Equal(got, []string{"stays"}) {
			t.Errorf("in the end the instances are %v", got)
		}
	})
}

// A retry of a Deregister that failed is for the own registration only.
func TestARetriedDeregisterSparesTheNewerOwner(t *testing.T) {
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
		if got := idsOf(read(t, newer, "g")); !slices.Equal(got, []string{"i"}) {
			t.Errorf("the newer owner's registration is gone: %v", got)
		}
		if err := e.Deregister(t.Context(), "i"); err != nil {
			t.Fatal(err)
		}
		if got := idsOf(read(t, newer, "g")); len(got) != 0 {
			t.Errorf("a Deregister by ID left %v", got)
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
		f.wantNoHeartbeat(t, "i")
	})
}

// A heartbeat during a Deregister finds the registration lost, and must not write it again.
func TestDeregisterIsFinalDuringAHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.set(func() { f.latency = 200 * time.Millisecond })
		for round := range 100 {
			id := fmt.Sprint("i", round)
			register(t, e, "g", id, "x")
			f.loseAll()
			advance(time.Duration(round*37%3000) * time.Millisecond)
			if err := e.Deregister(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			advance(500 * time.Millisecond)
			if got := idsOf(read(t, e, "g")); len(got) != 0 {
				t.Fatalf("round %d: %v was registered again", round, got)
			}
		}
	})
}

func TestAFailedReplacementLeavesTheEarlierRegistration(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		registeredAt := register(t, e, "g", "i", "first")
		f.freeze()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := e.Register(ctx, RegisterRequest{Service: "h", ID: "i", Payload: []byte("second")}); err == nil {
			t.Fatal("registered on a frozen backend")
		}
		f.loseAll()
		f.thaw()
		advance(testHeartbeat + time.Second)
		v := read(t, e, "g")
		if len(v.Entries) != 1 || v.Entries[0].RegisteredAt != registeredAt || string(v.Entries[0].Payload) != "first" {
			t.Errorf("the earlier registration is not there as it was: %v", idsOf(v))
		}
		if got := idsOf(read(t, e, "h")); len(got) != 0 {
			t.Errorf("the failed registration is kept alive: %v", got)
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
		advance(time.Minute)
		if len(f.renewals) != 0 {
			t.Error("it is kept alive")
		}
	})
}

func TestTheContextOfRegisterBoundsOnlyTheCall(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		ctx, cancel := context.WithCancel(t.Context())
		if err := e.Register(ctx, RegisterRequest{Service: "g", ID: "i"}); err != nil {
			t.Fatal(err)
		}
		cancel()
		advance(10 * testTTL)
		if got := idsOf(read(t, e, "g")); !slices.Equal(got, []string{"i"}) {
			t.Errorf("the instances are %v", got)
		}
	})
}

func TestConcurrentRegisterAndDeregisterAgree(t *testing.T) {
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
			advance(testHeartbeat)
			if got := idsOf(read(t, e, "g")); len(got) != 0 {
				t.Fatalf("%v was registered again", got)
			}
		}
	})
}

func TestSupersedeNotifiesOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "i", "x")
		var losses []Loss
		stop := e.OnLoss("i", func(l Loss) { losses = append(losses, l) })
		if !e.Supersede("i") || e.Supersede("i") || e.Supersede("never") {
			t.Error("Supersede did not report whether there was a registration")
		}
		synctest.Wait()
		if !slices.Equal(losses, []Loss{LossSuperseded}) {
			t.Errorf("the losses are %v", losses)
		}
		stop()
		register(t, e, "g", "i", "y")
		e.Supersede("i")
		if len(losses) != 1 {
			t.Error("a listener was called after stop")
		}
	})
}

// A listener that is added after the loss is called as well.
func TestALateListenerLearnsOfAnEarlierLoss(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e, newer := start(t, f, "alpha"), start(t, f, "beta")
		for _, id := range []string{"superseded", "removed", "stays"} {
			register(t, e, "g", id, "x")
		}
		register(t, newer, "g", "superseded", "y")
		if err := newer.Deregister(t.Context(), "removed"); err != nil {
			t.Fatal(err)
		}
		advance(2 * testHeartbeat)
		for id, want := range map[string][]Loss{"superseded": {LossSuperseded}, "removed": {LossDeregisteredByOther}, "stays": nil} {
			var losses []Loss
			e.OnLoss(id, func(l Loss) { losses = append(losses, l) })()
			if !slices.Equal(losses, want) {
				t.Errorf("the losses of %q are %v, want %v", id, losses, want)
			}
		}
	})
}
