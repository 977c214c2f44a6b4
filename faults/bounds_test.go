package faults

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/registry"
)

// within polls until check returns nil and fails the test when that is later
// after since than the bound and the machine's stall meanwhile. It returns how
// long after since it was.
func within(t testing.TB, since time.Time, bound time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	for {
		err := check()
		took := time.Since(since)
		if err == nil && took <= bound {
			reportBound(t, since, took, bound, what)
			return took
		}
		if took > bound {
			stalled := stall.Between(t, since, since.Add(took))
			if took > bound+stalled {
				t.Fatalf("%s: not within %s and a stall of %s, but %s: %v", what, bound, round(stalled), round(took), err)
			}
			if err == nil {
				reportBound(t, since, took, bound, what)
				return took
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// checkBound fails the test, which goes on, when now is later after since than the
// bound and the machine's stall meanwhile. It returns how long after since it is.
func checkBound(t testing.TB, since time.Time, bound time.Duration, what string) time.Duration {
	t.Helper()
	took := time.Since(since)
	if stalled := stall.Between(t, since, since.Add(took)); took > bound+stalled {
		t.Errorf("%s: not within %s and a stall of %s, but %s", what, bound, round(stalled), round(took))
	}
	reportBound(t, since, took, bound, what)
	return took
}

// reportBound reports a bound and what was measured, for the collector of several runs.
func reportBound(t testing.TB, since time.Time, took, bound time.Duration, what string) {
	t.Helper()
	stalled := stall.Between(t, since, since.Add(took))
	t.Logf("bound: %s: %d of %d ms, stall %d ms", what, round(took).Milliseconds(), bound.Milliseconds(), round(stalled).Milliseconds())
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// elapse waits until the machine has run for d, or for ten times as long.
func elapse(t testing.TB, d time.Duration) {
	since := time.Now()
	for left := d; left > 0; {
		time.Sleep(left)
		left = d + min(stall.Since(t, since), 9*d) - time.Since(since)
	}
}

// retryStalled makes a call that has to succeed. One that the backend did not answer
// while the machine stood for a quarter of a heartbeat, which is the time that a
// request has, proves nothing and is made again.
func retryStalled(t testing.TB, beat time.Duration, call func() error) error {
	for tries := 1; ; tries++ {
		at := time.Now()
		err := call()
		unanswered := errors.Is(err, registry.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
		if !unanswered || tries == 20 || stall.Since(t, at) < beat/4 {
			return err
		}
	}
}

// wasStalled reports whether, of the time d before a moment, the machine kept the test
// from running for half or more.
func wasStalled(t testing.TB, d time.Duration, before time.Time) bool {
	return stall.Between(t, before.Add(-d), before) >= d/2
}

// receive waits for what has no bound in the contract.
func receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	const patience = 40 * time.Second
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
		panic("unreachable")
	}
}

// throughout fails the test when check fails at any time before the end.
func throughout(t testing.TB, until time.Time, what string, check func() error) {
	t.Helper()
	for time.Now().Before(until) {
		if err := retryStalled(t, shortHeartbeat, check); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// figure reports a measurement, for the collector of the worst of several runs.
func figure(t testing.TB, what string, d time.Duration) {
	t.Helper()
	t.Logf("figure: %s %d ms", what, round(d).Milliseconds())
}

// maximum keeps the largest of several measurements.
type maximum struct {
	mu sync.Mutex
	d  time.Duration
}

func (w *maximum) add(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.d = max(w.d, d)
}

func (w *maximum) get() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.d
}
