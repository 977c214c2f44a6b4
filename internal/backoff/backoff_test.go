package backoff

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausesDoubleUpToTheMaximum(t *testing.T) {
	p := Pauses{Min: 20 * time.Millisecond, Max: 100 * time.Millisecond}
	for failures, longest := range map[int]time.Duration{0: 20, 1: 20, 2: 40, 3: 80, 4: 100, 5: 100, 1 << 40: 100} {
		longest *= time.Millisecond
		shortest, different := longest, map[time.Duration]bool{}
		for range 1000 {
			pause := p.After(failures)
			if pause < longest/2 || pause > longest {
				t.Fatalf("the pause after %d failures is %v, want %v to %v", failures, pause, longest/2, longest)
			}
			shortest, different[pause] = min(shortest, pause), true
		}
		if shortest > longest*6/10 || len(different) < 100 {
			t.Errorf("1000 pauses after %d failures have %d values and are at least %v: too little jitter", failures, len(different), shortest)
		}
	}
}

func TestJitterOnlyShortens(t *testing.T) {
	for _, d := range []time.Duration{0, 1, time.Second} {
		for range 1000 {
			if got := Jitter(d, 0.1); got > d || got < d*9/10 {
				t.Fatalf("Jitter(%v, 0.1) = %v", d, got)
			}
		}
	}
}

func TestSleepTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := Sleep(t.Context(), time.Minute); err != nil || time.Since(start) != time.Minute {
			t.Errorf("slept %v, %v; want 1m0s, no error", time.Since(start), err)
		}
		start = time.Now()
		pauses := Pauses{Min: time.Second, Max: time.Hour}
		if err := pauses.Sleep(t.Context(), 3); err != nil || time.Since(start) < 2*time.Second || time.Since(start) > 4*time.Second {
			t.Errorf("slept %v after 3 failures, %v; want 2s to 4s, no error", time.Since(start), err)
		}
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := Sleep(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("slept %v, %v; want 1s, the context's error", time.Since(start), err)
		}
	})
}
