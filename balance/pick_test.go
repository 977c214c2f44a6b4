package balance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

func weighted(id string, weight int) registry.ServiceInfo {
	s := api(id)
	s.Weight = weight
	return s
}

func TestRequestsFollowTheWeights(t *testing.T) {
	services := []registry.ServiceInfo{weighted("a", 0), weighted("b", 1), weighted("c", 2), weighted("d", 6)}
	inBubble(t, nil, services, func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		count := shares(t, b, 10_000, nil)
		near(t, count, "a", 1000)
		near(t, count, "b", 1000)
		near(t, count, "c", 2000)
		near(t, count, "d", 6000)
	})
}

func TestWeightsHoldWithRequestsInFlight(t *testing.T) {
	for _, inFlight := range []int{2, 8, 64} {
		services := []registry.ServiceInfo{weighted("light", 100), weighted("heavy", 300)}
		inBubble(t, nil, services, func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
			count := map[string]int{}
			window := make([]*Picked, inFlight)
			for i := range 8000 {
				slot := &window[i%inFlight]
				if *slot != nil {
					(*slot).Done(nil)
				}
				*slot = pick(t, b)
				count[(*slot).Instance().ID]++
			}
			near(t, count, "light", 2000)
			near(t, count, "heavy", 6000)
		})
	}
}

func TestEveryInstanceOfManyIsDrawnByWeight(t *testing.T) {
	var services []registry.ServiceInfo
	total := 0
	for i := range 100 {
		services = append(services, weighted(fmt.Sprint("i", i), i+1))
		total += i + 1
	}
	b := balancer(t, localRegistry(t, services...), seeded())
	pick(t, b).Done(nil) // the first state is there
	g := &b.current.Load().near
	count := map[string]int{}
	const perWeight = 200
	for range total * perWeight {
		count[g.endpoints[g.draw(b.random())].id]++
	}
	for _, s := range services {
		near(t, count, s.ID, s.Weight*perWeight)
	}
}

func TestTheLessLoadedOfTwoIsPicked(t *testing.T) {
	inBubble(t, nil, []registry.ServiceInfo{api("a"), api("b")}, func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		for range 100 {
			p, q := pick(t, b), pick(t, b)
			if p.Instance().ID == q.Instance().ID {
				t.Fatalf("%s has two requests in flight and the other none", p.Instance().ID)
			}
			p.Done(nil)
			q.Done(nil)
		}
	})
}

func TestASlowInstanceIsAvoidedForAWhile(t *testing.T) {
	inBubble(t, nil, []registry.ServiceInfo{api("slow"), api("quick")}, func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		serve := func(n int) map[string]int {
			count := map[string]int{}
			for range n {
				p := pick(t, b)
				count[p.Instance().ID]++
				if p.Instance().ID == "slow" {
					time.Sleep(300 * time.Millisecond)
				} else {
					time.Sleep(time.Millisecond)
				}
				p.Done(nil)
			}
			return count
		}
		if count := serve(100); count["slow"] < 1 || count["slow"] > 5 {
			t.Errorf("of 100 requests %v", count)
		}
		time.Sleep(20 * halfLife)
		if count := serve(20); count["slow"] < 1 {
			t.Errorf("a slow instance was not tried again: %v", count)
		}
	})
}

func TestPickIsEvenThoughLatenciesDifferALittle(t *testing.T) {
	inBubble(t, nil, []registry.ServiceInfo{api("a"), api("b")}, func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		count := map[string]int{}
		for range 2000 {
			p := pick(t, b)
			count[p.Instance().ID]++
			if p.Instance().ID == "a" {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Millisecond)
			p.Done(nil)
		}
		near(t, count, "a", 1000)
		near(t, count, "b", 1000)
	})
}

func TestPickExceptPicksEachInstanceOnce(t *testing.T) {
	b := balancer(t, localRegistry(t, api("a"), api("b"), api("c")), seeded())
	var tried []Picked
	seen := map[string]bool{}
	for range 3 {
		p, err := b.PickExcept(context.Background(), tried...)
		if err != nil {
			t.Fatal(err)
		}
		p.Done(nil)
		tried = append(tried, p)
		seen[p.Instance().ID] = true
	}
	if len(seen) != 3 {
		t.Errorf("three tries went to %v", seen)
	}
	if _, err := b.PickExcept(context.Background(), tried...); !errors.Is(err, ErrNoInstances) {
		t.Errorf("a fourth: %v", err)
	}
}

func TestDoneTwiceCountsOnce(t *testing.T) {
	b := balancer(t, localRegistry(t, api("a")))
	p := pick(t, b)
	p.Done(nil)
	p.Done(errors.New("no"))
	if n := p.upstream().inflight.Load(); n != 0 {
		t.Errorf("%d in flight", n)
	}
	var none Picked
	none.Done(nil)
	if none.HostPort() != "" || none.Instance().ID != "" {
		t.Error("the zero Picked is an instance")
	}
}

// Copies of a Picked are one request, also after their request's end, when other
// requests are in flight.
func TestCopiesOfAPickedEndItOnce(t *testing.T) {
	b := balancer(t, localRegistry(t, api("a")), WithEjection(Ejection{Failures: -1}))
	var old []Picked
	for round := range 50 {
		p := *pick(t, b)
		var ends sync.WaitGroup
		for i := range 4 {
			ends.Go(func() {
				done := p
				if i%2 == 0 {
					done.Done(nil)
				} else {
					done.Done(errors.New("no"))
				}
			})
		}
		ends.Wait()
		if n := p.upstream().inflight.Load(); n != 0 {
			t.Fatalf("round %d: %d in flight after the end", round, n)
		}
		if n := p.upstream().failures.Load(); n > 1 {
			t.Fatalf("round %d: one request counts as %d failures", round, n)
		}
		p.upstream().failures.Store(0)
		old = append(old, p)
		current := pick(t, b)
		for i := range old {
			old[i].Done(errors.New("late"))
		}
		if n := p.upstream().inflight.Load(); n != 1 {
			t.Fatalf("round %d: %d in flight beside old copies, want 1", round, n)
		}
		current.Done(nil)
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	var services []registry.ServiceInfo
	for i := range 1000 {
		services = append(services, weighted(fmt.Sprint("i", i), i%5))
	}
	b := balancer(t, localRegistry(t, services...))
	ctx := t.Context()
	pick(t, b).Done(nil)
	if n := testing.AllocsPerRun(1000, func() {
		p, err := b.Pick(ctx)
		if err != nil {
			t.Fatal(err)
		}
		p.Done(nil)
	}); n != 0 {
		t.Errorf("a pick allocates %v times", n)
	}
}

func TestLastKnownInstancesServeWhileTheBackendIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := registrytest.NewFlaky(localRegistry(t, api("a"), api("b")))
		b := balancer(t, f)
		pick(t, b).Done(nil)
		f.Disconnect(nil)
		time.Sleep(time.Hour)
		if count := shares(t, b, 100, nil); len(count) != 2 {
			t.Errorf("while unavailable: %v", count)
		}
		deregister(t, f.Backend, "a") // unseen
		synctest.Wait()
		if count := shares(t, b, 100, nil); len(count) != 2 {
			t.Errorf("while unavailable: %v", count)
		}
		f.Reconnect()
		synctest.Wait()
		if count := shares(t, b, 100, nil); count["b"] != 100 {
			t.Errorf("back: %v", count)
		}
	})
}

func TestPickFailsWithItsContext(t *testing.T) {
	b := balancer(t, localRegistry(t, api("a")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Pick(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestPickAfterCloseFails(t *testing.T) {
	r := localRegistry(t, api("a"))
	b := balancer(t, r)
	p := pick(t, b)
	b.Close()
	b.Close()
	if _, err := b.Pick(t.Context()); !errors.Is(err, registry.ErrClosed) {
		t.Error(err)
	}
	p.Done(nil)

	b = balancer(t, r)
	pick(t, b).Done(nil)
	r.Close()
	<-b.ended
	if _, err := b.Pick(t.Context()); !errors.Is(err, registry.ErrClosed) {
		t.Errorf("after Close of the registry: %v", err)
	}
}

func TestAnImpossibleNameIsSaidAtOnce(t *testing.T) {
	b, err := New(localRegistry(t), "a\x00b", WithWait(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Pick(t.Context()); !errors.Is(err, ErrNoInstances) || !errors.Is(err, registry.ErrInvalidService) {
		t.Error(err)
	}
}
