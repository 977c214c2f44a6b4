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

// An operator deregisters, by ID, an instance whose lease has ended because its
// owner is cut off.
//
// Promise 4, final: the owner does not bring it back.
func TestOperatorDeregistersTheStalled(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	cfg := config(t, server, shortTTL, shortHeartbeat)
	line := faultnet.New(t, server.Addr())
	cfg.Name = "the operator"
	operator := open(t, cfg)
	cfg.RedisAddr, cfg.Name = line.Addr(), "the owner"
	owner := open(t, cfg)
	m, err := registry.Join(t.Context(), owner, service("web", "x"))
	if err != nil {
		t.Fatal(err)
	}
	register(t, operator, "web", "other")
	line.Hold()
	within(t, time.Now(), shortTTL+slack, "its lease ends", discovers(operator, "web", "other"))
	requireReason(t, operator, "web", "x", reason{kind: registry.EventExpired, by: "the owner", ttl: shortTTL})
	if err := operator.Deregister(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	line.Cut()
	line.Heal()
	lostWithin(t, m, time.Now(), shortHeartbeat+slack, registry.ErrDeregistered, "the owner reports the Deregister of what had expired")
	throughout(t, time.Now().Add(2*shortHeartbeat), "it stays gone", isGone(operator, "web", "x"))
	requireReason(t, operator, "web", "x", reason{kind: registry.EventDeregistered, by: "the operator"})
}

// The earlier owner of an ID is cut off; the later one registers it, under the
// same name or another, before or after the earlier one's lease has ended, and dies.
//
// Promise 5: the earlier one never takes it back, even after the later one died.
func TestTheEarlierOwnerStaysOut(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"web", "web2"} {
		for _, ended := range []bool{false, true} {
			t.Run(fmt.Sprintf("later under %s, lease ended %t", name, ended), func(t *testing.T) {
				t.Parallel()
				server := redistest.Start(t)
				line := faultnet.New(t, server.Addr())
				cfg := config(t, server, shortTTL, shortHeartbeat)
				later, reader := open(t, cfg), open(t, cfg)
				cfg.RedisAddr = line.Addr()
				earlier := open(t, cfg)
				m, err := registry.Join(t.Context(), earlier, service("web", "x"))
				if err != nil {
					t.Fatal(err)
				}
				line.Hold()
				if ended {
					within(t, time.Now(), shortTTL+slack, "the earlier one's lease ends", discovers(reader, "web"))
				}
				register(t, later, name, "x")
				if err := later.Close(); err != nil { // it dies
					t.Fatal(err)
				}
				within(t, time.Now(), shortTTL+slack, "the later one's lease ends", discovers(reader, name))
				line.Cut()
				line.Heal()
				lostWithin(t, m, time.Now(), shortHeartbeat+slack, registry.ErrSuperseded, "the earlier owner reports its loss")
				throughout(t, time.Now().Add(2*shortHeartbeat), "it stays out", isGone(reader, "web", "x"))
			})
		}
	}
}

// The reply to a Register is lost until the lease has ended; the call is sent again.
//
// Promise 1: nil means listed, and RegisteredAt stays what it was.
func TestRegisterSentAgainAfterItsLeaseEnded(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	line := faultnet.New(t, server.Addr())
	cfg := config(t, server, time.Second, 900*time.Millisecond)
	reader := open(t, cfg)
	cfg.RedisAddr = line.Addr()
	owner := open(t, cfg)
	register(t, owner, "web", "warm")
	line.Drop(faultnet.ToClient)
	done := make(chan error, 1)
	go func() { done <- owner.Register(context.Background(), service("web", "x")) }()
	var first registry.ServiceInfo
	within(t, time.Now(), time.Second, "it takes effect", func() error {
		if err := isGone(reader, "web", "x")(); err == nil {
			return fmt.Errorf("it does not show")
		}
		first = registered(t, reader, "web", "x")
		return nil
	})
	within(t, time.Now(), time.Second+slack, "its lease ends", isGone(reader, "web", "x"))
	line.Heal()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if now := registered(t, reader, "web", "x"); !now.RegisteredAt.Equal(first.RegisteredAt) {
		t.Errorf("RegisteredAt went from %v to %v", first.RegisteredAt, now.RegisteredAt)
	}
	throughout(t, time.Now().Add(1500*time.Millisecond), "it stays", func() error {
		if isGone(reader, "web", "x")() == nil {
			return fmt.Errorf("it is gone")
		}
		return nil
	})
}

// The reply to an operator's Deregister by ID is lost; the owner registers the
// ID under another name before it is sent again.
//
// Promise 1: the newer registration stays.
func TestDeregisterSentAgainSparesAnotherName(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	line := faultnet.New(t, server.Addr())
	cfg := config(t, server, 3*time.Second, time.Second)
	owner, reader := open(t, cfg), open(t, cfg)
	cfg.RedisAddr = line.Addr()
	operator := open(t, cfg)
	register(t, operator, "web", "warm")
	register(t, owner, "web", "y")
	must(t, owner.Deregister(t.Context(), "y")) // so that Redis knows the script
	register(t, owner, "web", "x")
	line.Drop(faultnet.ToClient)
	done := make(chan error, 1)
	go func() { done <- operator.Deregister(context.Background(), "x") }()
	within(t, time.Now(), time.Second, "it takes effect", discovers(reader, "web", "warm"))
	requireReason(t, reader, "web", "x", reason{kind: registry.EventDeregistered, by: pidOf(ownPID)})
	m, err := registry.Join(t.Context(), owner, service("web2", "x"))
	if err != nil {
		t.Fatal(err)
	}
	line.Heal()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	throughout(t, time.Now().Add(1500*time.Millisecond), "the newer stays", discovers(reader, "web2", "x"))
	if m.Err() != nil {
		t.Errorf("its owner reported a loss: %v", m.Err())
	}
}

// Two calls of one registry for one ID at the same time, many times, some with
// their replies lost; then Redis loses its memory.
//
// Promise 3: what comes back is what Discover showed.
func TestWhatComesBackIsWhatDiscoverShowed(t *testing.T) {
	t.Parallel()
	for _, lossy := range []bool{true, false} {
		t.Run(fmt.Sprintf("replies lost %t", lossy), func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			line := faultnet.New(t, server.Addr())
			cfg := config(t, server, 3*time.Second, time.Second)
			reader := open(t, cfg)
			cfg.RedisAddr = line.Addr()
			owner := open(t, cfg)
			register(t, owner, "web", "warm")
			n := 2000
			if lossy {
				n = 40
				line.Drop(faultnet.ToClient)
				time.AfterFunc(300*time.Millisecond, line.Heal)
			}
			var wg sync.WaitGroup
			for i := range n {
				for v := range 2 {
					wg.Go(func() {
						s := service("web", fmt.Sprint("x-", i))
						s.Version = fmt.Sprint("v", v)
						if err := owner.Register(context.Background(), s); err != nil {
							t.Error(err)
						}
					})
				}
			}
			wg.Wait()
			was := present(t, reader, "web")
			if len(was) != n+1 {
				t.Fatalf("%d instances, want %d", len(was), n+1)
			}
			flush(t, server)
			within(t, time.Now(), time.Second+slack, "all are back as they were", discoversExactly(reader, "web", was))
			throughout(t, time.Now().Add(1500*time.Millisecond), "they stay as they were", discoversExactly(reader, "web", was))
		})
	}
}
