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

// inBubble runs a test on a Flaky around a LocalRegistry that offers api a.
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

func TestFlakyAwayFailsEveryCallUntilBack(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		f.Away(errCable)
		for name, call := range everyCall(f, e.Context()) {
			if err := call(); !errors.Is(err, registry.ErrUnavailable) || !errors.Is(err, errCable) {
				e.Errorf("%s while away: %v", name, err)
			}
		}
		f.Back()
		e.lists(f, "api", "a")
		for name, call := range everyCall(f, e.Context()) {
			if err := call(); err != nil {
				e.Errorf("%s after Back: %v", name, err)
			}
		}
		f.Away(nil)
		if _, err := f.Discover(e.Context(), "api"); !errors.Is(err, registry.ErrUnavailable) {
			e.Errorf("Discover while away without a reason: %v", err)
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

func TestFlakyAwayMakesWatchesStaleUntilBack(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		w := followService(e, f, "api")
		w.until(e.seen(), showing("a"))
		f.Away(errCable)
		w.until(e.seen(), staleWith(errCable, "a"))
		e.register(f.Backend, instance("api", "b")) // unseen
		w.silent(e.quiet(), "while away")
		f.Back()
		w.until(e.seen(), showing("a", "b"))
		w.silent(e.quiet(), "after Back")
	})
}

func TestFlakyStaleLeavesCallsAlone(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		w, c := followService(e, f, "api"), followCatalog(e, f)
		w.until(e.seen(), showing("a"))
		c.until(e.seen(), naming("api"))
		f.Stale(errCable)
		w.until(e.seen(), staleWith(errCable, "a"))
		stale := c.first()
		if !errors.Is(stale.Stale, errCable) || len(stale.Names) != 1 {
			e.Errorf("the catalog while stale: %+v", stale)
		}
		e.register(f, instance("web", "w"))
		e.lists(f, "web", "w")
		f.Back()
		w.until(e.seen(), showing("a"))
		c.until(e.seen(), naming("api", "web"))
	})
}

func TestFlakyWatchBegunWhileAwayIsEmptyAndStale(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		f.Away(errCable)
		w := followService(e, f, "api")
		if err := staleWith(errCable)(w.first()); err != nil {
			e.Fatal(err)
		}
		f.Back()
		w.until(e.seen(), showing("a"))
	})
}

func TestFlakyReaderBetweenTakesMissesACommandThatIsOver(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		w := followService(e, f, "api")
		w.until(e.seen(), showing("a"))
		f.Away(errCable)
		f.Back()
		w.silent(e.quiet(), "though all is as it was")
	})
}

func TestFlakyWatchesEndWhileAway(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		byContext, byClose, byBreak := followService(e, f, "api"), followService(e, f, "api"), followService(e, f, "api")
		f.Away(nil)
		byContext.first()
		byClose.first()
		byBreak.first()
		byContext.cancel()
		if !byContext.ended(moment) {
			e.Error("a watch outlives its context")
		}
		byBreak.stop()
		if !byBreak.ended(moment) {
			e.Error("a watch outlives its break")
		}
		badNames := followService(e, f, "")
		if s := badNames.first(); !errors.Is(s.Stale, registry.ErrInvalidService) || !badNames.ended(moment) {
			e.Errorf("a watch of a bad name while away yields %+v", s)
		}
		e.close(f)
		if !byClose.ended(moment) {
			e.Error("a watch outlives Close")
		}
		if _, err := f.Discover(e.Context(), "api"); !errors.Is(err, registry.ErrClosed) {
			e.Errorf("Discover after Close: %v", err)
		}
	})
}

func TestFlakySlowDelaysCallsAndObeysTheContext(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		f.Slow(3 * time.Second)
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
		f.Slow(0)
		start = time.Now()
		e.lists(f, "api", "a")
		if took := time.Since(start); took != 0 {
			e.Errorf("Discover after Slow(0) took %v", took)
		}
	})
}

func TestFlakySupersedeTellsTheMembership(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		m, err := registry.Join(e.Context(), f, instance("web", "w"))
		if err != nil {
			e.Fatal(err)
		}
		if f.Supersede("nobody") {
			e.Error("Supersede of an ID that nobody joined with reports true")
		}
		if !f.Supersede("w") {
			e.Fatal("Supersede reports that no membership has the ID")
		}
		select {
		case <-m.Lost():
		case <-time.After(patience):
			e.Fatal("Lost is not closed")
		}
		if !errors.Is(m.Err(), registry.ErrSuperseded) {
			e.Errorf("Err is %v", m.Err())
		}
	})
}

func TestFlakyJoinGoesOnTryingWhileAway(t *testing.T) {
	inBubble(t, func(e *env, f *Flaky) {
		f.Away(errCable)
		joined := make(chan error, 1)
		go func() {
			_, err := registry.Join(e.Context(), f, instance("web", "w"))
			joined <- err
		}()
		select {
		case err := <-joined:
			e.Fatalf("Join returned while away: %v", err)
		case <-time.After(time.Minute):
		}
		f.Back()
		if err := e.returns(patience, "Join", func() error { return <-joined }); err != nil {
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
		f.Away(errCable)
		e.within(e.seen(), func() error { return staleWith(errCable, "a")(c.Lookup("api")) })
		e.lists(c, "api", "a")
		before := c.Lookup("api").AsOf
		linger(time.Minute)
		if after := c.Lookup("api").AsOf; !after.Equal(before) {
			e.Errorf("AsOf moved from %v to %v while away", before, after)
		}
		f.Back()
		e.within(e.seen(), func() error { return showing("a")(c.Lookup("api")) })
	})
}
