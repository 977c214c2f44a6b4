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

// mutant is a broken backend and the check that must catch it.
type mutant struct {
	check   string
	want    string         // part of a failure's text, or two alternatives joined by " or "
	harness func() Harness // called inside the bubble
}

func (m mutant) wants(failure string) bool {
	return slices.ContainsFunc(strings.Split(m.want, " or "), func(want string) bool { return strings.Contains(failure, want) })
}

// TestEachCheckCatchesItsMutants runs each check against backends that break its promise.
func TestEachCheckCatchesItsMutants(t *testing.T) {
	mutants := slices.Concat(callMutants, watchMutants, catalogMutants, backendMutants, eventMutants, refuseMutants, lostMutants)
	for _, c := range allChecks() {
		t.Run(c.name, func(t *testing.T) {
			tried := 0
			for _, m := range mutants {
				if m.check != c.name {
					continue
				}
				tried++
				failures := judge(t, c, m.harness)
				if !slices.ContainsFunc(failures, func(f string) bool { return m.wants(f) }) {
					t.Errorf("a mutant that must fail with %q failed with %q", m.want, failures)
				}
			}
			if tried == 0 {
				t.Error("no mutant shows that this check can fail")
			}
		})
	}
	for _, m := range mutants {
		if !slices.ContainsFunc(allChecks(), func(c check) bool { return c.name == m.check }) {
			t.Errorf("no check is named %q", m.check)
		}
	}
}

// judge runs one check and returns its failures.
func judge(t *testing.T, c check, harness func() Harness) (failures []string) {
	synctest.Test(t, func(t *testing.T) {
		h := harness()
		if !c.applies(h.capabilities()) {
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
		linger(time.Hour) // longer than any delay of a mutant
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
