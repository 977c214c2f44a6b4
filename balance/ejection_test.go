package balance

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

var errBroken = errors.New("broken")

// failing picks n times and lets every request to these instances fail.
func failing(t *testing.T, b *Balancer, n int, err error, ids ...string) map[string]int {
	t.Helper()
	count := map[string]int{}
	for range n {
		p := pick(t, b)
		count[p.Instance().ID]++
		var result error
		for _, id := range ids {
			if p.Instance().ID == id {
				result = err
			}
		}
		p.Done(result)
	}
	return count
}

func four() []registry.ServiceInfo {
	return []registry.ServiceInfo{api("a"), api("b"), api("c"), api("d")}
}

func TestAFailingInstanceIsEjectedForLongerEachTime(t *testing.T) {
	inBubble(t, nil, four(), func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		if count := failing(t, b, 400, errBroken, "a"); count["a"] != 5 {
			t.Errorf("before it was ejected: %v", count)
		}
		// From now on one probe request each time; the times double up to a minute.
		want := time.Second
		for range 10 {
			start := time.Now()
			for failing(t, b, 30, errBroken, "a")["a"] == 0 {
				time.Sleep(want / 100)
			}
			if took := time.Since(start); took < want*79/100 || took > want*121/100 {
				t.Errorf("ejected for %v, want about %v", took, want)
			}
			want = min(2*want, time.Minute)
		}
		// It recovers.
		time.Sleep(2 * time.Minute)
		count := failing(t, b, 2000, errBroken)
		if count["a"] < 400 {
			t.Errorf("after it recovered: %v", count)
		}
		// If it fails again soon, its ejection is long. Later, its ejections are reset.
		failing(t, b, 400, errBroken, "a")
		time.Sleep(30 * time.Second)
		if count := failing(t, b, 400, errBroken, "a"); count["a"] != 0 {
			t.Errorf("failing again soon after: %v", count)
		}
		time.Sleep(2 * time.Minute)
		failing(t, b, 400, errBroken)
		time.Sleep(2 * time.Minute)
		failing(t, b, 400, errBroken)
		failing(t, b, 400, errBroken, "a")
		time.Sleep(1300 * time.Millisecond)
		if count := failing(t, b, 400, errBroken); count["a"] == 0 {
			t.Errorf("failing again long after: %v", count)
		}
	})
}

func TestOneRequestProbesAnEjectedInstance(t *testing.T) {
	inBubble(t, nil, four(), func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		failing(t, b, 400, errBroken, "a")
		time.Sleep(1300 * time.Millisecond)
		probes := 0
		var held []*Picked
		for range 100 {
			p := pick(t, b)
			if p.Instance().ID == "a" {
				probes++
			}
			held = append(held, p)
		}
		if probes != 1 {
			t.Errorf("%d requests probe it at once", probes)
		}
		for _, p := range held {
			p.Done(nil)
		}
		if count := failing(t, b, 400, nil); count["a"] == 0 {
			t.Errorf("after the probe request succeeded: %v", count)
		}
	})
}

func TestAtMostHalfOfTheInstancesAreEjected(t *testing.T) {
	for n, want := range map[int]int{1: 0, 2: 1, 3: 2, 4: 2} {
		synctest.Test(t, func(t *testing.T) {
			b := balancer(t, localRegistry(t, four()[:n]...), seeded())
			shares(t, b, 400, errBroken)
			ejected := 0
			now := b.now()
			for _, e := range b.current.Load().near.endpoints {
				if e.ejectedUntil.Load() > now {
					ejected++
				}
			}
			if ejected != want {
				t.Errorf("of %d that all fail, %d are ejected, want %d", n, ejected, want)
			}
		})
	}
}

func TestEjectedInstancesAreCalledWhenNoOthersAreLeft(t *testing.T) {
	inBubble(t, nil, four(), func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
		failing(t, b, 400, errBroken, "a", "b")
		deregister(t, r, "c")
		deregister(t, r, "d")
		synctest.Wait()
		// The first that succeeds is readmitted.
		if count := failing(t, b, 100, errBroken, "a"); count["b"] < 90 {
			t.Errorf("%v", count)
		}
	})
}

func TestAFailedDialEjectsAtOnce(t *testing.T) {
	inBubble(t, nil, four(), func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		refused := &net.OpError{Op: "dial", Err: errBroken}
		if count := failing(t, b, 400, refused, "a"); count["a"] != 1 {
			t.Errorf("%v", count)
		}
	})
}

func TestWhatIsNoFailureOfTheInstance(t *testing.T) {
	inBubble(t, nil, four(), func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		if count := failing(t, b, 400, context.Canceled, "a"); count["a"] < 50 {
			t.Errorf("cancelled requests: %v", count)
		}
		// Four failures, then a success, over and over.
		fails := 0
		for range 400 {
			p := pick(t, b)
			var err error
			if p.Instance().ID == "a" && fails%5 != 4 {
				err = errBroken
			}
			if p.Instance().ID == "a" {
				fails++
			}
			p.Done(err)
		}
		if fails < 50 {
			t.Errorf("four failures in a row ejected it: called %d times", fails)
		}
	})
}

func TestEjectionCanBeTurnedOff(t *testing.T) {
	b := balancer(t, localRegistry(t, four()...), seeded(), WithEjection(Ejection{Failures: -1}))
	if count := failing(t, b, 400, errBroken, "a"); count["a"] < 50 {
		t.Errorf("%v", count)
	}
}

func TestANewRegistrationStartsAfresh(t *testing.T) {
	inBubble(t, nil, four(), func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
		failing(t, b, 400, errBroken, "a")
		deregister(t, r, "a")
		register(t, r, api("a"))
		synctest.Wait()
		if count := failing(t, b, 400, nil); count["a"] < 50 {
			t.Errorf("%v", count)
		}
	})
}

func TestASuccessBegunBeforeSaysNothing(t *testing.T) {
	inBubble(t, nil, four(), func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		var early *Picked
		for early == nil {
			if p := pick(t, b); p.Instance().ID == "a" {
				early = p
			} else {
				p.Done(nil)
			}
		}
		time.Sleep(time.Millisecond)
		early.upstream().failed(errBroken, false, true)
		early.Done(nil)
		if early.upstream().ejectedUntil.Load() == 0 {
			t.Error("a request from before took it back")
		}
	})
}
