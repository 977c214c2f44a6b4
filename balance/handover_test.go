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

// Whatever the moment: once a drain has returned, nobody is sent there.
func TestNobodyIsSentToAnInstanceThatHasDrained(t *testing.T) {
	r := localRegistry(t, api("a"), api("b"))
	b := balancer(t, r)
	pick(t, b).Done(nil)
	var mu sync.RWMutex // of drained
	drained := false
	picked := make(chan struct{}, 1) // while it had drained
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
				before := drained
				p, err := b.Pick(context.Background())
				if before {
					select {
					case picked <- struct{}{}:
					default:
					}
				}
				mu.RUnlock()
				if err != nil {
					t.Error(err)
					return
				}
				if before && p.Instance().ID == "a" {
					t.Error("sent to an instance that has drained")
				}
				p.Done(nil)
				runtime.Gosched()
			}
		})
	}
	for range 100 {
		if err := r.Drain(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		drained = true
		mu.Unlock()
		select {
		case <-picked:
		case <-time.After(20 * time.Second):
			t.Fatal("no instance was picked within 20 s of a drain")
		}
		mu.Lock()
		drained = false
		select {
		case <-picked:
		default:
		}
		mu.Unlock()
		if err := r.Undrain(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
}
