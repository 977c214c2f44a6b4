package core

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/store"
	"github.com/rollcall-sd/rollcall/internal/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The bubble checks that no goroutine is left: it ends only when all of its goroutines have.
func TestCloseEndsAllWork(t *testing.T) {
	for _, how := range []string{"no fault", "frozen", "down", "memory lost"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				e := start(t, f, "alpha")
				for i := range 10 {
					register(t, e, "g", fmt.Sprint("i", i), "x")
				}
				var all []*recordedWatch
				for i := range 20 {
					all = append(all, watch(t, e, fmt.Sprint("g", i%3)))
				}
				advance(2 * testHeartbeat)
				switch how {
				case "frozen":
					f.freeze()
				case "down":
					f.set(func() { f.down = true })
				case "memory lost":
					f.loseAll()
				}
				advance(2*testHeartbeat + 50*time.Millisecond)
				pending := make(chan error, 1)
				go func() {
					_, err := e.Read(context.Background(), "other")
					pending <- err
				}()
				began := time.Now()
				for range 2 {
					if err := e.Close(); err != nil {
						t.Error(err)
					}
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("Close took %v", took)
				}
				synctest.Wait()
				for i, w := range all {
					if !w.Ended() {
						t.Errorf("watch %d has not ended", i)
					}
				}
				if err := waittest.Receive(t, pending, "the Read under way to end"); err != nil && !errors.Is(err, store.ErrClosed) {
					t.Errorf("the Read under way: %v", err)
				}
			})
		})
	}
}

func TestCallsAfterCloseReturnErrClosed(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "i", "x")
		e.Close()
		ctx := context.Background()
		err := e.Register(ctx, RegisterRequest{Service: "g", ID: "j"})
		err2 := e.Deregister(ctx, "i")
		_, err3 := e.Read(ctx, "g")
		_, err4 := e.ReadLeases(ctx, "g")
		for i, err := range []error{err, err2, err3, err4} {
			if !errors.Is(err, store.ErrClosed) {
				t.Errorf("call %d: %v", i, err)
			}
		}
		for range e.Watch(ctx, "g") {
			t.Error("a watch of a closed engine yields")
		}
		f.wantNoHeartbeat(t, "i")
	})
}

func TestAWatchEndsWithItsContextOrItsLoop(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		w := watch(t, e, "g")
		w.Stop()
		synctest.Wait()
		if !w.Ended() {
			t.Error("the context has ended, and the watch has not")
		}
		for range e.Watch(t.Context(), "g") {
			break
		}
		synctest.Wait()
		f.mu.Lock()
		left := len(f.watchers)
		f.mu.Unlock()
		if left != 0 {
			t.Errorf("%d watches of the store are left", left)
		}
		// A subscriber that is busy when its context ends is not handed another state.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := 0
		for range e.Watch(ctx, "g") {
			n++
			f.add("g", fmt.Sprint("more", n), testTTL, testHeartbeat, time.Hour)
			cancel()
		}
		if n != 1 {
			t.Errorf("%d states, want 1", n)
		}
	})
}

func TestASlowSubscriberIsHandedTheNewestState(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		fast := watch(t, e, "g")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var sizes []int
		go func() {
			for v := range e.Watch(ctx, "g") {
				sizes = append(sizes, len(v.Entries))
				time.Sleep(time.Minute)
			}
		}()
		synctest.Wait()
		for i := range 100 {
			f.add("g", fmt.Sprint("i", i), time.Hour, testHeartbeat, time.Hour)
			synctest.Wait()
		}
		if n := fast.count(); n != 101 {
			t.Errorf("a fast subscriber was handed %d states of 101", n)
		}
		advance(5 * time.Minute)
		if fmt.Sprint(sizes) != "[0 100]" {
			t.Errorf("a slow subscriber was handed states of %v instances, want the first and the newest", sizes)
		}
	})
}

func TestTenThousandWatchersOfOneName(t *testing.T) {
	const n = 10_000
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		ctx, cancel := context.WithCancel(t.Context())
		var states [3]atomic.Int32
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				for v := range e.Watch(ctx, "g") {
					states[len(v.Entries)].Add(1)
				}
			})
		}
		synctest.Wait()
		for i := range 2 {
			f.add("g", fmt.Sprint("i", i), time.Hour, testHeartbeat, time.Hour)
			synctest.Wait()
		}
		for i := range states {
			if got := states[i].Load(); got != n {
				t.Errorf("%d of %d were handed state %d", got, n, i)
			}
		}
		if reads := f.readCount(); len(f.watchers) != 1 || reads > 2 {
			t.Errorf("%d watches of the store and %d reads for all of them", len(f.watchers), reads)
		}
		cancel()
		wg.Wait()
	})
}

// An idle watched service costs one read per heartbeat interval, however many watches it has.
func TestIdleWatchesCostOneCheckPerService(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.add("g", "a", time.Hour, testHeartbeat, time.Hour)
		for range 100 {
			watch(t, e, "g")
		}
		before := f.readCount()
		advance(10 * time.Minute)
		if n := f.readCount() - before; n > int(10*time.Minute/testHeartbeat)*10/8 {
			t.Errorf("%d reads in 10 idle minutes", n)
		}
	})
}
