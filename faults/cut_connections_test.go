package faults

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// churn is a service that changes over a good connection while a reader's is faulty.
type churn struct {
	t      *testing.T
	writer *registry.RedisRegistry
	seen   *watchLog
	worst  maximum
}

// change registers or deregisters an instance and waits until the watch shows
// it, within one heartbeat + 1 s.
func (c *churn) change(n int) {
	c.t.Helper()
	id := fmt.Sprintf("c%d", n/2)
	cond, what := with(id), "a registration"
	if n%2 == 0 {
		register(c.t, c.writer, "web", id)
	} else {
		if err := retryStalled(c.t, shortHeartbeat, func() error { return c.writer.Deregister(c.t.Context(), id) }); err != nil {
			c.t.Fatalf("deregister %s: %v", id, err)
		}
		cond, what = lacking(id), "a deregistration"
	}
	c.worst.add(c.seen.await(c.t, time.Now(), backBy, what, cond))
}

// All connections are cut repeatedly.
//
// Promise 1, kept alive; promise 7, no false empty; promise 8: a change is seen
// within one heartbeat + 1 s; calls succeed, as they are retried.
func TestAllConnectionsCutAgainAndAgain(t *testing.T) {
	t.Parallel()
	testAllConnectionsCutAgainAndAgain(t)
}

func testAllConnectionsCutAgainAndAgain(t *testing.T, opts ...redistest.Option) {
	server := redistest.Start(t, opts...)
	line := faultnet.New(t, server.Addr())
	owner, reader, writer := openShort(t, server, throughAddr(line.Addr())), openShort(t, server, throughAddr(line.Addr())), openShort(t, server)
	register(t, owner, "web", "a1", "a2")
	seen := watch(t, reader, "web")
	seen.await(t, time.Now(), backBy, "the start", with("a1", "a2"))
	began := time.Now()

	ctx, stop := context.WithCancel(t.Context())
	var cutter sync.WaitGroup
	cutter.Go(func() {
		for ctx.Err() == nil {
			line.Cut()
			elapse(t, 60*time.Millisecond) // in which a call can pass
		}
	})
	defer cutter.Wait()
	defer stop()
	c := &churn{t: t, writer: writer, seen: seen}
	for n := 0; time.Since(began) < 2*shortTTL; n++ {
		c.change(n)
		register(t, owner, "other", "o")
		if list := present(t, reader, "web"); !with("a1", "a2")(registry.Snapshot{Instances: list}) {
			t.Fatalf("discover on a connection that is cut: %s", describeInstances(list))
		}
		if err := retryStalled(t, shortHeartbeat, func() error { return owner.Deregister(t.Context(), "o") }); err != nil {
			t.Fatalf("deregister on a connection that is cut: %v", err)
		}
	}
	figure(t, "all connections cut: change seen", c.worst.get())
	seen.requireKept(t, began, "a1", "a2")
}

// The server cuts all connections, and then only the subscriptions.
//
// Promise 8: a watch never dies silently.
func TestServerCutsConnections(t *testing.T) {
	t.Parallel()
	testServerCutsConnections(t)
}

func testServerCutsConnections(t *testing.T, opts ...redistest.Option) {
	server := redistest.Start(t, opts...)
	owner, reader, writer := openShort(t, server), openShort(t, server), openShort(t, server)
	register(t, owner, "web", "a1")
	seen := watch(t, reader, "web")
	seen.await(t, time.Now(), backBy, "the start", with("a1"))
	began := time.Now()
	c := &churn{t: t, writer: writer, seen: seen}
	for n := range 12 {
		if n%2 == 0 {
			server.CutAll()
		} else {
			server.CutSubscriptions()
		}
		c.change(n)
	}
	figure(t, "cut by the server: change seen", c.worst.get())
	seen.requireKept(t, began, "a1")
}

// Only the subscription is affected: it is cut repeatedly, cut permanently, held,
// or only its messages are lost.
//
// Promise 8: a change is seen within one heartbeat + 1 s even when the push is
// lost; afterwards the push works again.
func TestWatchNeverDiesSilently(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*faultnet.Faults){
		"cut again and again": func(f *faultnet.Faults) { f.Cut() },
		"cut for good":        func(f *faultnet.Faults) { f.CutAlways() },
		"held":                func(f *faultnet.Faults) { f.Hold() },
		"muted":               func(f *faultnet.Faults) { f.DropMessages() },
		"replies lost":        func(f *faultnet.Faults) { f.Drop(faultnet.ToClient) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			line := faultnet.New(t, server.Addr())
			owner, reader, writer := openShort(t, server), openShort(t, server, throughAddr(line.Addr())), openShort(t, server)
			register(t, owner, "web", "a1")
			seen := watch(t, reader, "web")
			seen.await(t, time.Now(), backBy, "the start", with("a1"))
			began := time.Now()
			within(t, began, backBy, "a subscription", func() error {
				if n := line.Subscriptions.Connections(); n != 1 {
					return fmt.Errorf("%d connections are subscribed", n)
				}
				return nil
			})
			c := &churn{t: t, writer: writer, seen: seen}
			for n := range 8 {
				fault(line.Subscriptions)
				c.change(n)
			}
			figure(t, "subscription "+name+": change seen", c.worst.get())
			line.Subscriptions.Heal()
			restored := time.Now()
			n := 8
			within(t, restored, 2*backBy, "pushes arrive again", func() error {
				register(t, writer, "web", fmt.Sprint("p", n))
				took := seen.await(t, time.Now(), backBy, "a registration", with(fmt.Sprint("p", n)))
				if n++; took > shortHeartbeat/4 {
					return fmt.Errorf("seen after %s: not pushed", took)
				}
				return nil
			})
			seen.requireKept(t, began, "a1")
		})
	}
}
