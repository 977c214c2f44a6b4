package registrytest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/bridge"
	"github.com/rollcall-sd/rollcall/internal/stall"
)

func init() {
	bridge.Conform = func(ctx context.Context, harness any, done func(check string, failures []string)) error {
		return runInProgram(ctx, harness.(Harness), done)
	}
}

// runInProgram runs the checks of a harness without a bubble in a program, not under go
// test. It calls done for each, from one goroutine at a time.
func runInProgram(ctx context.Context, h Harness, done func(check string, failures []string)) error {
	if err := h.validate(); err != nil {
		return err
	}
	if h.Bubble {
		return errors.New("a bubble needs go test")
	}
	const name = "conformance"
	all := &programTB{name: name, ctx: ctx}
	stall.Measure(all)
	defer all.cleanUp()
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxParallel)
	for _, c := range allChecks() {
		if !c.applies(h.capabilities()) || ctx.Err() != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			failures := runCheck(ctx, name+"/"+c.name, func(tb testing.TB) { c.run(newEnv(tb, h)) })
			mu.Lock()
			defer mu.Unlock()
			done(c.name, failures)
		})
	}
	wg.Wait()
	return ctx.Err()
}

// runCheck runs f and what it registered with Cleanup, and returns the failures.
func runCheck(ctx context.Context, name string, f func(testing.TB)) []string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &programTB{name: name, ctx: ctx}
	r.run(func() { f(r) })
	cancel()
	r.cleanUp()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failures)
}

// programTB is the testing.TB of a check in a program. It has the methods that the
// checks and the universes of such programs call; others panic.
type programTB struct {
	testing.TB // nil; has the method that only package testing can implement

	name string
	ctx  context.Context

	mu       sync.Mutex
	failures []string
	cleanups []func()
}

// run calls f on a goroutine that Fatal can end, and waits for it.
func (r *programTB) run(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// cleanUp calls what was registered with Cleanup, the last first.
func (r *programTB) cleanUp() {
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return
		}
		f := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()
		r.run(f)
	}
}

func (r *programTB) fail(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, strings.TrimSpace(text))
}

func (r *programTB) Helper()                  {}
func (r *programTB) Log(...any)               {}
func (r *programTB) Logf(string, ...any)      {}
func (r *programTB) Name() string             { return r.name }
func (r *programTB) Context() context.Context { return r.ctx }

func (r *programTB) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *programTB) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *programTB) Error(args ...any)                 { r.fail(fmt.Sprintln(args...)) }
func (r *programTB) Errorf(format string, args ...any) { r.fail(fmt.Sprintf(format, args...)) }
func (r *programTB) Fail()                             { r.fail("failed") }

func (r *programTB) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *programTB) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *programTB) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}
