package registry_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

func TestJoinGeneratesAnIDAndLeaveEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registry.NewLocalRegistry()
		defer r.Close()
		m, err := registry.Join(t.Context(), r, instance("api", ""))
		must(t, err)
		list, err := r.Discover(t.Context(), "api")
		must(t, err)
		if len(list) != 1 || list[0].ID != m.ID() || m.ID() == "" {
			t.Fatalf("Discover = %v, want the one instance %q", list, m.ID())
		}
		must(t, m.Leave(t.Context()))
		must(t, m.Leave(t.Context()))
		if list, err = r.Discover(t.Context(), "api"); err != nil || len(list) != 0 {
			t.Fatalf("Discover = %v, %v after Leave", list, err)
		}
		select {
		case <-m.Lost():
			t.Fatal("Leave closed Lost")
		default:
		}
		must(t, m.Err())
	})
}

func TestJoinRetriesWhileTheBackendIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flaky := registrytest.NewFlaky(registry.NewLocalRegistry())
		defer flaky.Close()
		flaky.Disconnect(nil)
		time.AfterFunc(time.Minute, flaky.Reconnect)
		m, err := registry.Join(t.Context(), flaky, instance("api", "a"))
		must(t, err)
		must(t, m.Leave(t.Context()))

		flaky.Disconnect(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := registry.Join(ctx, flaky, instance("api", "a")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Join while disconnected = %v", err)
		}
	})
}

func TestJoinFailsAtOnceIfItCannotSucceed(t *testing.T) {
	r := registry.NewLocalRegistry()
	if _, err := registry.Join(t.Context(), r, registry.ServiceInfo{Name: "api"}); !errors.Is(err, registry.ErrInvalidService) {
		t.Errorf("Join without an address = %v", err)
	}
	must(t, r.Close())
	if _, err := registry.Join(t.Context(), r, instance("api", "a")); !errors.Is(err, registry.ErrClosed) {
		t.Errorf("Join on a closed registry = %v", err)
	}
}

func TestMembershipIsLostToAnotherOwnerOrOperator(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		owner, other := open(), open()
		if owner == other {
			m, err := registry.Join(t.Context(), owner, instance("api", "a"))
			must(t, err)
			must(t, owner.Deregister(t.Context(), "a"))
			awaitLost(t, m)
			if !errors.Is(m.Err(), registry.ErrDeregistered) {
				t.Fatalf("Err = %v", m.Err())
			}
			return
		}
		m, err := registry.Join(t.Context(), owner, instance("api", "a"))
		must(t, err)
		newer := instance("api", "a")
		newer.Port = 81
		must(t, other.Register(t.Context(), newer))
		awaitLost(t, m)
		if !errors.Is(m.Err(), registry.ErrSuperseded) {
			t.Fatalf("Err = %v, want ErrSuperseded", m.Err())
		}
		must(t, m.Leave(t.Context()))
		list, err := owner.Discover(t.Context(), "api")
		must(t, err)
		if len(list) != 1 || list[0].Port != 81 {
			t.Fatalf("Discover = %v after the superseded membership left, want the newer instance", list)
		}

		m, err = registry.Join(t.Context(), owner, instance("api", "b"))
		must(t, err)
		must(t, other.Deregister(t.Context(), "b"))
		awaitLost(t, m)
		if !errors.Is(m.Err(), registry.ErrDeregistered) {
			t.Fatalf("Err = %v, want ErrDeregistered", m.Err())
		}
	})
}

// awaitLost waits until a membership is lost.
func awaitLost(t *testing.T, m *registry.Membership) {
	t.Helper()
	waittest.Receive(t, m.Lost(), "the membership of "+m.ID()+" to be lost")
}

// A membership that was lost and is never left must not remain in its registry's memory.
func TestALostMembershipIsCollected(t *testing.T) {
	b := registry.NewLocalRegistry()
	defer b.Close()
	const n = 50
	var freed sync.WaitGroup
	for range n {
		m, err := registry.Join(t.Context(), b, registry.ServiceInfo{Name: "web", Address: "127.0.0.1", Port: 80})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Deregister(t.Context(), m.ID()); err != nil {
			t.Fatal(err)
		}
		awaitLost(t, m)
		freed.Add(1)
		runtime.AddCleanup(m, func(struct{}) { freed.Done() }, struct{}{})
	}
	done := make(chan struct{})
	go func() { freed.Wait(); close(done) }()
	limit := time.After(waittest.Limit)
	for {
		runtime.GC()
		select {
		case <-done:
			return
		case <-limit:
			t.Fatalf("the registry still refers to some of %d lost memberships", n)
		default:
			runtime.Gosched()
		}
	}
}
