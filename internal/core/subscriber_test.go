package core

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// crowdSize is more subscribers than one of them wakes, and no multiple of that.
const crowdSize = 5*wakeFanout + 7

// startCrowd starts crowdSize watches. Each loop calls handle with its number and each state.
func startCrowd(ctx context.Context, e *Engine, handle func(i int, n int64)) (ended *atomic.Int64) {
	ended = &atomic.Int64{}
	for i := range crowdSize {
		go func() {
			for v := range e.Watch(ctx, "g") {
				handle(i, version(v.Content))
			}
			ended.Add(1)
		}()
	}
	synctest.Wait()
	return ended
}

// Loops that are busy delay no other, whatever their position, and are handed the
// newest state when they ask for it.
func TestABusyLoopDelaysNoOther(t *testing.T) {
	for _, every := range []int{1, 2, wakeFanout, crowdSize} {
		t.Run(fmt.Sprint(every), func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				e := start(t, f, "alpha")
				register(t, e, "g", "a", "1")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				release := make(chan struct{})
				var has [crowdSize][]int64
				startCrowd(ctx, e, func(i int, n int64) {
					has[i] = append(has[i], n)
					if n == 2 && i%every == 0 {
						waitOrDone(t.Context(), release)
					}
				})
				for n := 2; n <= 4; n++ {
					register(t, e, "g", "a", fmt.Sprint(n))
					synctest.Wait()
				}
				for i := range has {
					want := "[1 2 3 4]"
					if i%every == 0 {
						want = "[1 2]"
					}
					if got := fmt.Sprint(has[i]); got != want {
						t.Errorf("loop %d has %s, want %s", i, got, want)
					}
				}
				close(release)
				synctest.Wait()
				for i := range has {
					if i%every == 0 && fmt.Sprint(has[i]) != "[1 2 4]" {
						t.Errorf("loop %d, which was busy, has %v", i, has[i])
					}
				}
			})
		})
	}
}

// foreignContext is a context that package context did not make.
type foreignContext struct {
	context.Context
	done chan struct{}
}

func (c foreignContext) Done() <-chan struct{} { return c.done }

func (c foreignContext) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

// afterFuncContext is one with an AfterFunc.
type afterFuncContext struct {
	foreignContext
	calls *[]func()
}

func (c afterFuncContext) AfterFunc(f func()) func() bool {
	*c.calls = append(*c.calls, f)
	return func() bool { return true }
}

// Whatever kind of context a watch has, it ends with the context, yields no further
// state, and takes no goroutine but the caller's own.
func TestWatchEndsWithItsContext(t *testing.T) {
	kinds := map[string]func() (context.Context, func()){
		"cancelled": func() (context.Context, func()) { return context.WithCancel(context.Background()) },
		"wrapped": func() (context.Context, func()) {
			ctx, cancel := context.WithCancel(context.Background())
			return struct{ context.Context }{context.WithValue(ctx, foreignContext{}, 1)}, cancel
		},
		"deadline": func() (context.Context, func()) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			return ctx, func() { advance(time.Minute); cancel() }
		},
		"foreign": func() (context.Context, func()) {
			ctx := foreignContext{context.Background(), make(chan struct{})}
			return ctx, func() { close(ctx.done) }
		},
		"calling": func() (context.Context, func()) {
			var calls []func()
			ctx := afterFuncContext{foreignContext{context.Background(), make(chan struct{})}, &calls}
			return ctx, func() {
				close(ctx.done)
				for _, call := range calls {
					call()
				}
			}
		},
	}
	for kind, begin := range kinds {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				e := start(t, f, "alpha")
				register(t, e, "g", "a", "1")
				watch(t, e, "g")
				ctx, end := begin()
				release := make(chan struct{})
				var states atomic.Int64
				before := runtime.NumGoroutine()
				ended := &atomic.Int64{}
				for i := range 100 {
					go func() {
						for range e.Watch(ctx, "g") {
							states.Add(1)
							if i%2 == 0 {
								waitOrDone(t.Context(), release)
							}
						}
						ended.Add(1)
					}()
					synctest.Wait()
				}
				if n := runtime.NumGoroutine() - before; n > 100 {
					t.Errorf("100 watches take %d goroutines", n)
				}
				end()
				synctest.Wait()
				if n := ended.Load(); n != 50 {
					t.Errorf("%d of the 50 waiting watches have ended", n)
				}
				register(t, e, "g", "a", "2")
				close(release)
				synctest.Wait()
				if n := ended.Load(); n != 100 || states.Load() != 100 {
					t.Errorf("%d of 100 have ended, %d states were yielded", n, states.Load())
				}
			})
		})
	}
}

// A subscriber that ends while it has others to wake still wakes them.
func TestAnEndingSubscriberWakesTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "a", "1")
		foreignCtx := foreignContext{context.Background(), make(chan struct{})}
		first := &atomic.Int64{}
		go func() {
			for range e.Watch(foreignCtx, "g") {
			}
			first.Add(1)
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got atomic.Int64
		startCrowd(ctx, e, func(_ int, n int64) {
			if n == 2 {
				got.Add(1)
			}
		})
		f.set(func() { close(foreignCtx.done) })
		register(t, e, "g", "a", "2")
		synctest.Wait()
		if first.Load() != 1 || got.Load() != crowdSize {
			t.Errorf("the first has ended: %d; %d of %d were woken", first.Load(), got.Load(), crowdSize)
		}
	})
}

func TestCloseEndsAllWatches(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "a", "1")
		release := make(chan struct{})
		var states atomic.Int64
		ended := startCrowd(context.Background(), e, func(i int, _ int64) {
			states.Add(1)
			if i%3 == 0 {
				waitOrDone(t.Context(), release)
			}
		})
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := ended.Load(); n != crowdSize-(crowdSize+2)/3 {
			t.Errorf("%d of the %d waiting watches have ended", n, crowdSize-(crowdSize+2)/3)
		}
		close(release)
		synctest.Wait()
		if n := ended.Load(); n != crowdSize || states.Load() != crowdSize {
			t.Errorf("%d of %d have ended, %d states were yielded", n, crowdSize, states.Load())
		}
	})
}
