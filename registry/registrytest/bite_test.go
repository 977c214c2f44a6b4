package registrytest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bite is a broken backend and the check that must notice.
type bite struct {
	check   string
	want    string         // in a failure's text; where it may show at either of two places, both, joined by " or "
	harness func() Harness // called inside the bubble
}

func (b bite) wants(failure string) bool {
	return slices.ContainsFunc(strings.Split(b.want, " or "), func(want string) bool { return strings.Contains(failure, want) })
}

// TestEveryCheckBites runs each check against backends that break its promise.
func TestEveryCheckBites(t *testing.T) {
	bites := slices.Concat(callBites, watchBites, catalogBites, backendBites, refuseBites)
	for _, c := range allChecks() {
		t.Run(c.name, func(t *testing.T) {
			bitten := 0
			for _, b := range bites {
				if b.check != c.name {
					continue
				}
				bitten++
				failures := judge(t, c, b.harness)
				if !slices.ContainsFunc(failures, func(f string) bool { return b.wants(f) }) {
					t.Errorf("a backend that must fail with %q failed with %q", b.want, failures)
				}
			}
			if bitten == 0 {
				t.Error("no broken backend shows that this check bites")
			}
		})
	}
	for _, b := range bites {
		if !slices.ContainsFunc(allChecks(), func(c check) bool { return c.name == b.check }) {
			t.Errorf("no check is named %q", b.check)
		}
	}
}

// judge runs one check and returns its failures.
func judge(t *testing.T, c check, harness func() Harness) (failures []string) {
	synctest.Test(t, func(t *testing.T) {
		h := harness()
		if !c.applies(h.powers()) {
			t.Fatal("the check does not apply to this harness")
		}
		rec := &recorder{TB: t}
		rec.do(func() { c.run(newEnv(rec, h)) })
		for len(rec.cleanups) > 0 {
			last := rec.cleanups[len(rec.cleanups)-1]
			rec.cleanups = rec.cleanups[:len(rec.cleanups)-1]
			rec.do(last)
		}
		failures = rec.failures
		linger(time.Hour) // by when every delay of a broken backend is over
	})
	return failures
}

// linger lets time pass, on the clock of the bubble that all these tests run in.
func linger(d time.Duration) { time.Sleep(d) }

// recorder is a testing.TB that notes failures instead of failing. What it does
// not override is the embedded TB's.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

// do runs f, which may end its goroutine by FailNow.
func (r *recorder) do(f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	<-done
}

func (r *recorder) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, text)
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Helper()                           {}
func (r *recorder) Error(args ...any)                 { r.note(fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.note(fmt.Sprintf(format, args...)) }
func (r *recorder) Fatal(args ...any)                 { r.note(fmt.Sprint(args...)); runtime.Goexit() }
func (r *recorder) Fatalf(format string, args ...any) {
	r.note(fmt.Sprintf(format, args...))
	runtime.Goexit()
}
