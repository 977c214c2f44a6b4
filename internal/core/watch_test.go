package core

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// testLossGrace is the grace period of an instance that the backend lost.
const testLossGrace = max(testTTL, testHeartbeat+time.Second)

func TestWatchShowsChangesAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		w := watch(t, start(t, f, "alpha"), "g")
		w.want(false)
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		w.want(false, "a")
		f.add("g", "b", testTTL, testHeartbeat, time.Hour)
		w.want(false, "a", "b")
		f.end("g", "a", store.ReasonDeregistered)
		w.want(false, "b")
		f.end("g", "b", store.ReasonMoved)
		w.want(false)
		advance(time.Minute)
		if n := w.count(); n != 5 {
			t.Errorf("%d states for 4 changes, %v", n, w.observations())
		}
	})
}

func TestWatchRetainsWhatTheBackendLost(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		f.add("g", "b", testTTL, testHeartbeat, time.Hour)
		w := watch(t, start(t, f, "alpha"), "g")
		advance(time.Second)
		f.loseAll()
		lost := w.elapsed()
		advance(testHeartbeat)
		w.want(true, "a", "b")
		advance(testLossGrace)
		w.want(false) // a true zero is still seen
		gone := w.first(lost, lacks("a"))
		if gone < lost+testHeartbeat || gone > lost+testLossGrace+testHeartbeat {
			t.Errorf("lost after %v, dropped after %v: owners had less than a heartbeat interval, or it took more than %v", lost, gone, testLossGrace)
		}
	})
}

func TestWatchNeverLacksWhatIsReregistered(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		registeredAt := register(t, e, "g", "a", "x")
		w := watch(t, start(t, f, "beta"), "g")
		for range 20 {
			advance(7 * time.Second)
			f.loseAll()
			advance(testHeartbeat + time.Second)
			w.want(false, "a")
			if got := read(t, e, "g").Entries[0].RegisteredAt; got != registeredAt {
				t.Fatalf("registered again with the time %d, want %d", got, registeredAt)
			}
		}
		if at := w.first(0, lacks("a")); at >= 0 {
			t.Errorf("after %v the watch was empty", at)
		}
	})
}

func TestWatchDropsAnExpiredInstanceWithinASecond(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "dies", testTTL, testHeartbeat, 5*time.Second)
		f.add("g", "lives", testTTL, testHeartbeat, time.Hour)
		w := watch(t, start(t, f, "alpha"), "g")
		advance(20 * time.Second)
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

func TestWatchKeepsAnInstanceThatIsRenewedLate(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		r := f.add("g", "a", testTTL, testHeartbeat, 5*time.Second)
		w := watch(t, start(t, f, "alpha"), "g")
		advance(5*time.Second + maxRetryPause)
		r.ExpiresAt += time.Hour.Microseconds()
		f.write("g", *r) // its owner registers it again
		advance(time.Minute)
		w.want(false, "a")
		if at := w.first(0, lacks("a")); at >= 0 {
			t.Errorf("dropped after %v", at)
		}
	})
}

func TestWatchRetainsAfterItWasDisconnected(t *testing.T) {
	for how, fault := range map[string][2]func(*fake){
		"refused": {func(f *fake) { f.set(func() { f.down = true }) }, func(f *fake) { f.set(func() { f.down = false }) }},
		"frozen":  {(*fake).freeze, (*fake).thaw},
	} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				owner := start(t, f, "owner")
				register(t, owner, "g", "lives", "x")
				f.add("g", "dead", testTTL, testHeartbeat, testTTL)
				w := watch(t, start(t, f, "alpha"), "g")
				advance(time.Second)
				down := w.elapsed()
				fault[0](f)
				advance(testHeartbeat + time.Second)
				w.want(true, "dead", "lives")
				advance(30 * time.Second) // all leases end meanwhile
				w.want(true, "dead", "lives")
				fault[1](f)
				up := w.elapsed()
				advance(2 * testLossGrace)
				w.want(false, "lives")
				if at := w.first(0, lacks("lives")); at >= 0 {
					t.Errorf("the live instance was dropped after %v", at)
				}
				if at := w.first(0, lacks("dead")); at < up+testHeartbeat || at > up+testLossGrace {
					t.Errorf("answers again after %v, the dead instance was dropped after %v; want after a heartbeat interval, within %v", up, at, testLossGrace)
				}
				if at := w.first(down, isStale); at > down+testHeartbeat+time.Second {
					t.Errorf("unavailable after %v, stale after %v", down, at)
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
					advance(5 * time.Second)
					f.set(func() { f.clockStep += step })
					advance(15 * time.Second)
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
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		w := watch(t, start(t, f, "alpha"), "g")
		for range 10 {
			advance(7 * time.Second)
			at := w.elapsed()
			f.freeze()
			advance(20 * time.Second)
			if stale := w.first(at, isStale); stale < 0 || stale > at+testHeartbeat+time.Second {
				t.Errorf("unavailable after %v, stale after %v", at, stale)
			}
			at = w.elapsed()
			f.thaw()
			advance(20 * time.Second)
			if fresh := w.first(at, isFresh); fresh < 0 || fresh > at+testHeartbeat+time.Second {
				t.Errorf("available after %v, current after %v", at, fresh)
			}
		}
		if n := w.count(); n != 21 {
			t.Errorf("%d states for 20 changes of staleness", n)
		}
	})
}

func TestWatchBegunWithoutABackendIsEmptyAndStale(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		f.down = true
		w := watch(t, start(t, f, "alpha"), "g")
		advance(100 * time.Millisecond)
		w.want(true)
		f.set(func() { f.down = false })
		advance(time.Second)
		w.want(false, "a")
	})
}

func TestASingleFailureIsNotShown(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		e := start(t, f, "alpha")
		w := watch(t, e, "g")
		g := e.acquireService("g")
		defer e.releaseService(g)
		f.set(func() { f.down = true })
		g.sharedRead(ResyncCheck)
		advance(time.Millisecond)
		f.set(func() { f.down = false })
		advance(time.Minute)
		if n := w.count(); n != 1 {
			t.Errorf("%d states, want 1", n)
		}
	})
}

func TestLostPushesAreRepaired(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		w := watch(t, start(t, f, "alpha"), "g")
		advance(10 * time.Second)
		f.set(func() { f.dropPushes = true })
		f.add("g", "b", testTTL, testHeartbeat, time.Hour)
		advance(testHeartbeat + time.Second)
		w.want(false, "a", "b") // by the periodic check
		f.end("g", "a", store.ReasonDeregistered)
		f.set(func() { f.dropPushes = false })
		f.add("g", "c", testTTL, testHeartbeat, time.Hour)
		w.want(false, "b", "c") // by the gap, at once
	})
}

func TestReorderedPushesEndInTheBackendsState(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		w := watch(t, start(t, f, "alpha"), "g")
		f.set(func() { f.holdPushes = true })
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		f.add("g", "b", testTTL, testHeartbeat, time.Hour)
		f.end("g", "a", store.ReasonDeregistered)
		f.add("g", "c", testTTL, testHeartbeat, time.Hour)
		f.release(2, 0, 0, 3, 1)
		w.want(false, "b", "c")
		f.release() // a push that is repeated or lost changes nothing
		advance(time.Minute)
		w.want(false, "b", "c")
	})
}

// A push may arrive before the answer to a read that began earlier, or be older than
// that answer.
func TestPushesDuringAReadAreAppliedAfterIt(t *testing.T) {
	for _, late := range []bool{true, false} {
		bubble(t, func(t *testing.T, f *fake) {
			e := start(t, f, "alpha")
			f.add("g", "a", testTTL, testHeartbeat, time.Hour)
			w := watch(t, e, "g")
			g := e.acquireService("g")
			defer e.releaseService(g)
			f.set(func() { f.latency, f.answerEarly = 100*time.Millisecond, late })
			g.sharedRead(store.ResyncGap)
			advance(10 * time.Millisecond)
			f.add("g", "b", testTTL, testHeartbeat, time.Hour)
			f.end("g", "a", store.ReasonDeregistered)
			f.add("g", "c", testTTL, testHeartbeat, time.Hour)
			f.end("g", "c", store.ReasonDeregistered)
			f.set(func() { f.latency = 0 })
			advance(100 * time.Millisecond)
			w.want(false, "b")
			advance(time.Minute)
			w.want(false, "b")
			shownB := false
			for _, s := range w.observations() {
				has := !lacks("b")(s)
				if shownB && !has {
					t.Errorf("answers with the early state: %v: the watch went back to an older state: %v", late, w.observations())
				}
				shownB = shownB || has
			}
		})
	}
}
