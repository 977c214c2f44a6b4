package balance

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// drainTakes returns how long a drain of a waits for the balancer.
func drainTakes(t *testing.T, r *registry.LocalRegistry) <-chan time.Duration {
	took := make(chan time.Duration, 1)
	start := time.Now()
	go func() {
		if err := r.Drain(context.Background(), "a"); err != nil {
			t.Error(err)
		}
		took <- time.Since(start)
	}()
	return took
}

func TestADrainWaitsForRequestsOnTheirWay(t *testing.T) {
	for name, c := range map[string]struct{ request, want time.Duration }{
		"short":    {50 * time.Millisecond, 50 * time.Millisecond},
		"long":     {time.Minute, handOverTime},
		"finished": {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, []registry.ServiceInfo{api("a")}, func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
				p := pick(t, b)
				if c.request == 0 {
					p.Done(nil)
				}
				took := drainTakes(t, r)
				synctest.Wait()
				if _, err := b.Pick(t.Context()); !errors.Is(err, ErrNoInstances) {
					t.Errorf("a pick during the drain: %v", err)
				}
				time.Sleep(c.request)
				p.Done(nil)
				if d := <-took; d != c.want {
					t.Errorf("the drain took %v, want %v", d, c.want)
				}
			})
		})
	}
}

func TestCloseDoesNotWaitForRequests(t *testing.T) {
	inBubble(t, nil, []registry.ServiceInfo{api("a")}, func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
		p := pick(t, b)
		deregister(t, r, "a")
		synctest.Wait()
		start := time.Now()
		b.Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		p.Done(nil)
	})
}

// After a drain has returned, no request goes to the instance. Each round counts
// only if the instance was picked before the drain and another one after it.
func TestNoRequestGoesToADrainedInstance(t *testing.T) {
	r := localRegistry(t, api("a"), api("b"))
	b := balancer(t, r)
	pick(t, b).Done(nil)
	var mu sync.RWMutex // of drained
	drained := false
	pickedBefore := make(chan struct{}, 1) // a, while it was not drained
	pickedAfter := make(chan struct{}, 1)  // any, while a was drained
	stop := make(chan struct{})
	var pickers sync.WaitGroup
	defer pickers.Wait()
	defer close(stop)
	for range 2 {
		pickers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.RLock()
				after := drained
				p, err := b.Pick(context.Background())
				switch {
				case after:
					signal(pickedAfter)
				case err == nil && p.Instance().ID == "a":
					signal(pickedBefore)
				}
				mu.RUnlock()
				if err != nil {
					t.Error(err)
					return
				}
				if after && p.Instance().ID == "a" {
					t.Error("a request went to an instance that has drained")
				}
				p.Done(nil)
				runtime.Gosched()
			}
		})
	}
	set := func(value bool) {
		mu.Lock()
		defer mu.Unlock()
		drained = value
		for _, picked := range []chan struct{}{pickedBefore, pickedAfter} {
			select {
			case <-picked:
			default:
			}
		}
	}
	for range 100 {
		await(t, pickedBefore, "the instance to be picked before its drain")
		if err := r.Drain(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		set(true)
		await(t, pickedAfter, "an instance to be picked after the drain")
		set(false)
		if err := r.Undrain(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
}

// signal sends unless the channel is full.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	const limit = 20 * time.Second
	select {
	case <-c:
	case <-time.After(limit):
		t.Fatalf("waited %v for %s", limit, what)
	}
}
