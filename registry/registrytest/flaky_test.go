package registrytest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// inBubble runs a test on a Flaky around a LocalRegistry with the instance a of api.
func inBubble(t *testing.T, test func(e *env, f *Flaky)) {
	synctest.Test(t, func(t *testing.T) {
		h := flakyHarness()
		e := newEnv(t, h)
		f := e.open().(*Flaky)
		e.register(f, instance("api", "a"))
		test(e, f)
	})
}

func flakyHarness() Harness {
	return Harness{
		New: func(testing.TB) Universe {
			return Universe{Open: func(testing.TB) registry.Registry { return NewFlaky(registry.NewLocalRegistry()) }}
		},
		Backend: true, Bubble: true,
	}
}

func TestFlakyWithoutCommandsKeepsEveryPromise(t *testing.T) { Run(t, flakyHarness()) }

var errCable = errors.New("cable cut")

func TestFlakyFailsEveryCallWhileDisconnected(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		f.Disconnect(errCable)
		for name, call := range everyCall(f, e.Context()) {
			if err := call(); !errors.Is(err, registry.ErrUnavailable) || !errors.Is(err, errCable) {
				e.Errorf("%s while disconnected: %v", name, err)
			}
		}
		f.Reconnect()
		e.lists(f, "api", "a")
		for name, call := range everyCall(f, e.Context()) {
			if err := call(); err != nil {
				e.Errorf("%s after Reconnect: %v", name, err)
			}
		}
		f.Disconnect(nil)
		if _, err := f.Discover(e.Context(), "api"); !errors.Is(err, registry.ErrUnavailable) {
			e.Errorf("Discover while disconnected without a reason: %v", err)
		}
	})
}

// staleWith is a condition: the last known state, stale because of err.
func staleWith(err error, want ...string) func(registry.Snapshot) error {
	return func(s registry.Snapshot) error {
		if !errors.Is(s.Stale, err) || !errors.Is(s.Stale, registry.ErrUnavailable) {
			return fmt.Errorf("Stale is %v, want one that matches %v", s.Stale, err)
		}
		s.Stale = nil
		return showing(want...)(s)
	}
}

func TestFlakyMakesWatchesStaleWhileDisconnected(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		w := subscribeService(e, f, "api")
		w.until(e.seen(), showing("a"))
		f.Disconnect(errCable)
		w.until(e.seen(), staleWith(errCable, "a"))
		e.register(f.Backend, instance("api", "b")) // unseen
		w.silent(e.quiet(), "while disconnected")
		f.Reconnect()
		w.until(e.seen(), showing("a", "b"))
		w.silent(e.quiet(), "after Reconnect")
	})
}

func TestFlakyCallsWorkWhileWatchesAreDisconnected(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		w, c := subscribeService(e, f, "api"), subscribeCatalog(e, f)
		w.until(e.seen(), showing("a"))
		c.until(e.seen(), naming("api"))
		f.DisconnectWatches(errCable)
		w.until(e.seen(), staleWith(errCable, "a"))
		stale := c.first()
		if !errors.Is(stale.Stale, errCable) || len(stale.Names) != 1 {
			e.Errorf("the catalog while stale: %+v", stale)
		}
		e.register(f, instance("web", "w"))
		e.lists(f, "web", "w")
		f.Reconnect()
		w.until(e.seen(), showing("a"))
		c.until(e.seen(), naming("api", "web"))
	})
}

func TestFlakyWatchBegunWhileDisconnectedIsEmptyAndStale(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		f.Disconnect(errCable)
		w := subscribeService(e, f, "api")
		if err := staleWith(errCable)(w.first()); err != nil {
			e.Fatal(err)
		}
		f.Reconnect()
		w.until(e.seen(), showing("a"))
	})
}

func TestFlakyWatchDoesNotShowADisconnectionThatIsOver(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		w := subscribeService(e, f, "api")
		w.until(e.seen(), showing("a"))
		f.Disconnect(errCable)
		f.Reconnect()
		w.silent(e.quiet(), "though nothing changed")
	})
}

func TestFlakyWatchesEndWhileDisconnected(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		byContext, byClose, byBreak := subscribeService(e, f, "api"), subscribeService(e, f, "api"), subscribeService(e, f, "api")
		f.Disconnect(nil)
		byContext.first()
		byClose.first()
		byBreak.first()
		byContext.cancel()
		if !byContext.ended(contextGrace) {
			e.Error("a watch outlives its context")
		}
		byBreak.stop()
		if !byBreak.ended(contextGrace) {
			e.Error("a watch outlives its break")
		}
		badNames := subscribeService(e, f, "")
		if s := badNames.first(); !errors.Is(s.Stale, registry.ErrInvalidService) || !badNames.ended(contextGrace) {
			e.Errorf("a watch of a bad name while disconnected yields %+v", s)
		}
		e.close(f)
		if !byClose.ended(contextGrace) {
			e.Error("a watch outlives Close")
		}
		if _, err := f.Discover(e.Context(), "api"); !errors.Is(err, registry.ErrClosed) {
			e.Errorf("Discover after Close: %v", err)
		}
	})
}

func TestFlakyDelaysCallsWithinTheirContext(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		f.SetDelay(3 * time.Second)
		start := time.Now()
		e.lists(f, "api", "a")
		if took := time.Since(start); took != 3*time.Second {
			e.Errorf("Discover took %v, want 3s", took)
		}
		ctx, cancel := context.WithTimeout(e.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err := f.Discover(ctx, "api"); !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("Discover with a deadline of 1s: %v", err)
		}
		if took := time.Since(start); took != time.Second {
			e.Errorf("Discover with a deadline of 1s took %v", took)
		}
		f.SetDelay(0)
		start = time.Now()
		e.lists(f, "api", "a")
		if took := time.Since(start); took != 0 {
			e.Errorf("Discover after SetDelay(0) took %v", took)
		}
	})
}

func TestFlakySupersedeEndsTheMembership(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		m, err := registry.Join(e.Context(), f, instance("web", "w"))
		if err != nil {
			e.Fatal(err)
		}
		if f.Supersede("unknown") {
			e.Error("Supersede of an ID without a registration reports true")
		}
		if !f.Supersede("w") {
			e.Fatal("Supersede reports that no registration has the ID")
		}
		select {
		case <-m.Lost():
		case <-time.After(waitLimit):
			e.Fatal("Lost is not closed")
		}
		if !errors.Is(m.Err(), registry.ErrSuperseded) {
			e.Errorf("Err is %v", m.Err())
		}
	})
}

func TestFlakyJoinRetriesWhileDisconnected(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		f.Disconnect(errCable)
		joined := make(chan error, 1)
		go func() {
			_, err := registry.Join(e.Context(), f, instance("web", "w"))
			joined <- err
		}()
		select {
		case err := <-joined:
			e.Fatalf("Join returned while disconnected: %v", err)
		case <-time.After(time.Minute):
		}
		f.Reconnect()
		if err := e.returns(waitLimit, "Join", func() error { return <-joined }); err != nil {
			e.Fatal(err)
		}
		e.lists(f, "web", "w")
	})
}

func TestFlakyUnderACacheMakesItStale(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		c := registry.NewCachedRegistry(f)
		e.Cleanup(func() { _ = c.Close() })
		e.lists(c, "api", "a")
		f.Disconnect(errCable)
		e.within(e.seen(), func() error { return staleWith(errCable, "a")(c.Lookup("api")) })
		e.lists(c, "api", "a")
		before := c.Lookup("api").AsOf
		linger(time.Minute)
		if after := c.Lookup("api").AsOf; !after.Equal(before) {
			e.Errorf("AsOf moved from %v to %v while disconnected", before, after)
		}
		f.Reconnect()
		e.within(e.seen(), func() error { return showing("a")(c.Lookup("api")) })
	})
}
