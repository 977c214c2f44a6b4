package core

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// grace is how long a backend that answers again is given for owners to show up.
const grace = max(testTTL, testBeat+time.Second)

func TestWatchShowsChangesAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		w := watch(t, start(t, f, "alpha"), "g")
		w.want(false)
		f.add("g", "a", testTTL, testBeat, time.Hour)
		w.want(false, "a")
		f.add("g", "b", testTTL, testBeat, time.Hour)
		w.want(false, "a", "b")
		f.end("g", "a", store.ReasonDeregistered)
		w.want(false, "b")
		f.end("g", "b", store.ReasonMoved)
		w.want(false)
		pass(time.Minute)
		if n := w.count(); n != 5 {
			t.Errorf("%d states for 4 changes, %v", n, w.all)
		}
	})
}

func TestWatchHoldsWhatTheBackendLost(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testBeat, time.Hour)
		f.add("g", "b", testTTL, testBeat, time.Hour)
		w := watch(t, start(t, f, "alpha"), "g")
		pass(time.Second)
		f.loseAll()
		lost := w.elapsed()
		pass(testBeat)
		w.want(true, "a", "b")
		pass(grace)
		w.want(false) // a true zero is still seen
		gone := w.first(lost, lacks("a"))
		if gone < lost+testBeat || gone > lost+grace+testBeat {
			t.Errorf("lost after %v, dropped after %v: owners had less than a beat, or it took more than %v", lost, gone, grace)
		}
	})
}

func TestWatchNeverMissesWhatIsHealed(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		stamp := register(t, e, "g", "a", "x")
		w := watch(t, start(t, f, "beta"), "g")
		for range 20 {
			pass(7 * time.Second)
			f.loseAll()
			pass(testBeat + time.Second)
			w.want(false, "a")
			if got := read(t, e, "g").Entries[0].RegisteredAt; got != stamp {
				t.Fatalf("healed with stamp %d, want %d", got, stamp)
			}
		}
		if at := w.first(0, lacks("a")); at >= 0 {
			t.Errorf("after %v the watch was empty", at)
		}
	})
}

func TestWatchDropsTheExpiredWithinASecond(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "dies", testTTL, testBeat, 5*time.Second)
		f.add("g", "lives", testTTL, testBeat, time.Hour)
		w := watch(t, start(t, f, "alpha"), "g")
		pass(20 * time.Second)
		w.want(false, "lives")
		gone := w.first(0, lacks("dies"))
		if gone < 5*time.Second+maxRetryPause || gone > 6*time.Second {
			t.Errorf("it expired after 5s and was dropped after %v: want within a second, but not before its owner could retry", gone)
		}
		if at := w.first(0, isStale); at >= 0 {
			t.Errorf("stale after %v", at)
		}
	})
}

func TestWatchKeepsWhatIsRenewedLate(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		r := f.add("g", "a", testTTL, testBeat, 5*time.Second)
		w := watch(t, start(t, f, "alpha"), "g")
		pass(5*time.Second + maxRetryPause)
		r.ExpiresAt += time.Hour.Microseconds()
		f.write("g", *r) // its owner registers it again
		pass(time.Minute)
		w.want(false, "a")
		if at := w.first(0, lacks("a")); at >= 0 {
			t.Errorf("dropped after %v", at)
		}
	})
}

func TestWatchHoldsAfterItWasBlind(t *testing.T) {
	for how, blind := range map[string][2]func(*fake){
		"refused": {func(f *fake) { f.set(func() { f.down = true }) }, func(f *fake) { f.set(func() { f.down = false }) }},
		"frozen":  {(*fake).freeze, (*fake).thaw},
	} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				owner := start(t, f, "owner")
				register(t, owner, "g", "lives", "x")
				f.add("g", "dead", testTTL, testBeat, testTTL)
				w := watch(t, start(t, f, "alpha"), "g")
				pass(time.Second)
				away := w.elapsed()
				blind[0](f)
				pass(testBeat + time.Second)
				w.want(true, "dead", "lives")
				pass(30 * time.Second) // all leases end meanwhile
				w.want(true, "dead", "lives")
				blind[1](f)
				back := w.elapsed()
				pass(2 * grace)
				w.want(false, "lives")
				if at := w.first(0, lacks("lives")); at >= 0 {
					t.Errorf("the living was dropped after %v", at)
				}
				if at := w.first(0, lacks("dead")); at < back+testBeat || at > back+grace {
					t.Errorf("back after %v, the dead dropped after %v; want after a beat, within %v", back, at, grace)
				}
				if at := w.first(away, isStale); at > away+testBeat+time.Second {
					t.Errorf("away after %v, stale after %v", away, at)
				}
			})
		})
	}
}

func TestWatchSurvivesClockSteps(t *testing.T) {
	for _, step := range []time.Duration{time.Minute, -time.Minute, 24 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				owner := start(t, f, "owner")
				register(t, owner, "g", "a", "x")
				register(t, owner, "g", "b", "x")
				w := watch(t, start(t, f, "alpha"), "g")
				for range 5 {
					pass(5 * time.Second)
					f.set(func() { f.clockStep += step })
					pass(15 * time.Second)
					w.want(false, "a", "b")
				}
				for _, id := range []string{"a", "b"} {
					if at := w.first(0, lacks(id)); at >= 0 {
						t.Errorf("%s was dropped after %v", id, at)
					}
				}
			})
		})
	}
}

func TestStaleAppearsAndClearsInTime(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testBeat, time.Hour)
		w := watch(t, start(t, f, "alpha"), "g")
		for range 10 {
			pass(7 * time.Second)
			at := w.elapsed()
			f.freeze()
			pass(20 * time.Second)
			if stale := w.first(at, isStale); stale < 0 || stale > at+testBeat+time.Second {
				t.Errorf("blind after %v, stale after %v", at, stale)
			}
			at = w.elapsed()
			f.thaw()
			pass(20 * time.Second)
			if fresh := w.first(at, isFresh); fresh < 0 || fresh > at+testBeat+time.Second {
				t.Errorf("back after %v, fresh after %v", at, fresh)
			}
		}
		if n := w.count(); n != 21 {
			t.Errorf("%d states for 20 changes of staleness", n)
		}
	})
}

func TestWatchBegunWhileAwayIsEmptyAndStale(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testBeat, time.Hour)
		f.down = true
		w := watch(t, start(t, f, "alpha"), "g")
		pass(100 * time.Millisecond)
		w.want(true)
		f.set(func() { f.down = false })
		pass(time.Second)
		w.want(false, "a")
	})
}

func TestAFailureInPassingIsNotShown(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testBeat, time.Hour)
		e := start(t, f, "alpha")
		w := watch(t, e, "g")
		g := e.acquireService("g")
		defer e.releaseService(g)
		f.set(func() { f.down = true })
		g.sharedRead(resyncCheck)
		pass(time.Millisecond)
		f.set(func() { f.down = false })
		pass(time.Minute)
		if n := w.count(); n != 1 {
			t.Errorf("%d states, want 1", n)
		}
	})
}

func TestLostPushesAreMadeUpFor(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testBeat, time.Hour)
		w := watch(t, start(t, f, "alpha"), "g")
		pass(10 * time.Second)
		f.set(func() { f.dropPushes = true })
		f.add("g", "b", testTTL, testBeat, time.Hour)
		pass(testBeat + time.Second)
		w.want(false, "a", "b") // by the check
		f.end("g", "a", store.ReasonDeregistered)
		f.set(func() { f.dropPushes = false })
		f.add("g", "c", testTTL, testBeat, time.Hour)
		w.want(false, "b", "c") // by the gap, at once
	})
}

func TestShuffledPushesEndInTheTruth(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		w := watch(t, start(t, f, "alpha"), "g")
		f.set(func() { f.holdPushes = true })
		f.add("g", "a", testTTL, testBeat, time.Hour)
		f.add("g", "b", testTTL, testBeat, time.Hour)
		f.end("g", "a", store.ReasonDeregistered)
		f.add("g", "c", testTTL, testBeat, time.Hour)
		f.release(2, 0, 0, 3, 1)
		w.want(false, "b", "c")
		f.release() // what comes twice, or never, changes nothing
		pass(time.Minute)
		w.want(false, "b", "c")
	})
}

// A push may overtake the answer of a read that began before it, or be older
// than what a read brings.
func TestPushesDuringAReadFollowIt(t *testing.T) {
	for _, late := range []bool{true, false} {
		bubble(t, func(t *testing.T, f *fake) {
			e := start(t, f, "alpha")
			f.add("g", "a", testTTL, testBeat, time.Hour)
			w := watch(t, e, "g")
			g := e.acquireService("g")
			defer e.releaseService(g)
			f.set(func() { f.latency, f.answerEarly = 100*time.Millisecond, late })
			g.sharedRead(resyncGap)
			pass(10 * time.Millisecond)
			f.add("g", "b", testTTL, testBeat, time.Hour)
			f.end("g", "a", store.ReasonDeregistered)
			f.add("g", "c", testTTL, testBeat, time.Hour)
			f.end("g", "c", store.ReasonDeregistered)
			f.set(func() { f.latency = 0 })
			pass(100 * time.Millisecond)
			w.want(false, "b")
			pass(time.Minute)
			w.want(false, "b")
			seenB := false
			for _, s := range w.all {
				has := !lacks("b")(s)
				if seenB && !has {
					t.Errorf("late answers: %v: what was shown went back: %v", late, w.all)
				}
				seenB = seenB || has
			}
		})
	}
}
