package faults

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/registry"
)

// within polls until check returns nil. It fails the test if the time since then is
// more than the bound plus the machine's stall, and returns that time.
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

// checkBound fails the test, but does not end it, if the time since then is more than
// the bound plus the machine's stall. It returns that time.
func checkBound(t testing.TB, since time.Time, bound time.Duration, what string) time.Duration {
	t.Helper()
	took := time.Since(since)
	if stalled := stall.Between(t, since, since.Add(took)); took > bound+stalled {
		t.Errorf("%s: not within %s and a stall of %s, but %s", what, bound, round(stalled), round(took))
	}
	reportBound(t, since, took, bound, what)
	return took
}

// reportBound logs a bound and the measured time for scripts/test and scripts/figures.
func reportBound(t testing.TB, since time.Time, took, bound time.Duration, what string) {
	t.Helper()
	stalled := stall.Between(t, since, since.Add(took))
	t.Logf("bound: %s: %d of %d ms, stall %d ms", what, round(took).Milliseconds(), bound.Milliseconds(), round(stalled).Milliseconds())
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// pause waits for d. why says what happens meanwhile, or what the time is for.
func pause(t testing.TB, d time.Duration, why string) {
	t.Helper()
	if d > time.Second {
		t.Logf("pause of %s: %s", round(d), why)
	}
	time.Sleep(d)
}

// elapse waits until the machine has run for d, at most for ten times as long.
func elapse(t testing.TB, d time.Duration) {
	since := time.Now()
	for left := d; left > 0; {
		time.Sleep(left)
		left = d + min(stall.Since(t, since), 9*d) - time.Since(since)
	}
}

// retryStalled makes a call that must succeed. It repeats a call that the backend did
// not answer if the machine stalled for a quarter of a heartbeat meanwhile. Such a
// call proves nothing: the timeout of a request is one heartbeat.
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

// wasStalled reports whether the machine kept the test from running for half or
// more of the time d before a point in time.
func wasStalled(t testing.TB, d time.Duration, before time.Time) bool {
	return stall.Between(t, before.Add(-d), before) >= d/2
}

// throughout fails the test if check fails at any time before until.
func throughout(t testing.TB, until time.Time, what string, check func() error) {
	t.Helper()
	for time.Now().Before(until) {
		if err := retryStalled(t, shortHeartbeat, check); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// figure logs a measurement. scripts/figures collects the worst of several runs.
func figure(t testing.TB, what string, d time.Duration) {
	t.Helper()
	if strings.HasPrefix(t.Name(), "TestRunsBehindAShardProxy/") {
		what = "sharded: " + what
	}
	t.Logf("figure: %s %d ms", what, round(d).Milliseconds())
}

// maximum keeps the greatest of several measurements.
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
