package faults

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

// ways in which a caller gives up on a call.
var callerEndings = map[string]func(t *testing.T) context.Context{
	"by deadline": func(t *testing.T) context.Context { return contextFor(t, 150*time.Millisecond) },
	"by hand": func(t *testing.T) context.Context {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(150*time.Millisecond, cancel)
		t.Cleanup(func() { timer.Stop(); cancel() })
		return ctx
	},
}

// The bytes of an abandoned Register are delivered when a partition heals, after
// another owner registered the ID.
//
// Promise 5: a registration that its caller abandoned long ago supersedes no other.
func TestAbandonedRegisterIsDeliveredLate(t *testing.T) {
	t.Parallel()
	for name, give := range callerEndings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			line := faultnet.New(t, server.Addr())
			gone, owner, reader := openShort(t, server, throughAddr(line.Addr())), openShort(t, server), openShort(t, server)
			register(t, gone, "web", "warm") // so that connection and scripts are there

			line.Hold(faultnet.ToServer)
			late := service("web", "x")
			late.Address = "10.9.9.9"
			err := gone.Register(give(t), late)
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				t.Fatalf("register on a held connection: %v", err)
			}
			m, err := registry.Join(t.Context(), owner, service("web", "x"))
			if err != nil {
				t.Fatal(err)
			}
			want := registered(t, reader, "web", "x")
			pause(t, 2*shortHeartbeat, "longer than the timeout of a request")
			line.Heal()
			throughout(t, time.Now().Add(shortTTL+shortHeartbeat), "the owner's registration stays", func() error {
				list, err := discover(reader, "web")
				if err != nil {
					return err
				}
				return same(without(list, "warm"), []registry.ServiceInfo{want})
			})
			if m.Err() != nil {
				t.Fatalf("superseded by a call that was given up: %v", m.Err())
			}
		})
	}
}

// The same for a Deregister: the owner's own, after which another registered the
// ID, and an operator's by ID alone, after which the owner registered again.
//
// Promise 5: the newest owner wins.
func TestAbandonedDeregisterIsDeliveredLate(t *testing.T) {
	t.Parallel()
	for name, give := range callerEndings {
		for _, own := range []bool{true, false} {
			who := map[bool]string{true: "own", false: "operator's"}[own]
			t.Run(who+" "+name, func(t *testing.T) {
				t.Parallel()
				server := redistest.Start(t)
				line := faultnet.New(t, server.Addr())
				gone, owner, reader := openShort(t, server, throughAddr(line.Addr())), openShort(t, server), openShort(t, server)
				register(t, gone, "web", "warm")
				if own {
					register(t, gone, "web", "x")
				} else {
					register(t, owner, "web", "x")
				}
				line.Hold(faultnet.ToServer)
				if err := gone.Deregister(give(t), "x"); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
					t.Fatalf("deregister on a held connection: %v", err)
				}
				newer := service("web", "x")
				newer.Version = "v2"
				m, err := registry.Join(t.Context(), owner, newer)
				if err != nil {
					t.Fatal(err)
				}
				want := registered(t, reader, "web", "x")
				pause(t, 2*shortHeartbeat, "longer than the timeout of a request")
				line.Heal()
				throughout(t, time.Now().Add(shortTTL+shortHeartbeat), "the newer registration stays", func() error {
					list, err := discover(reader, "web")
					if err != nil {
						return err
					}
					return same(without(list, "warm"), []registry.ServiceInfo{want})
				})
				if m.Err() != nil {
					t.Fatalf("ended by a call that was given up: %v", m.Err())
				}
			})
		}
	}
}

// An operator's Deregister took effect but its answer was lost; before it is
// retried the owner registers again.
//
// Promise 5: a call that is sent twice takes effect once.
func TestDeregisterTriedAgainSparesTheNewer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	line := faultnet.New(t, server.Addr())
	operator, owner, reader := openShort(t, server, throughAddr(line.Addr())), openShort(t, server), openShort(t, server)
	register(t, operator, "web", "warm")
	register(t, owner, "web", "y")
	if err := owner.Deregister(t.Context(), "y"); err != nil { // so that the server knows the script
		t.Fatal(err)
	}
	register(t, owner, "web", "x")
	line.Drop(faultnet.ToClient)
	done := make(chan error, 1)
	go func() { done <- operator.Deregister(contextFor(t, 3*time.Second), "x") }()
	within(t, time.Now(), time.Second, "it takes effect", discovers(reader, "web", "warm"))
	register(t, owner, "web", "x")
	want := registered(t, reader, "web", "x")
	line.Heal()
	if err := waittest.Receive(t, done, "a deregistration"); err != nil {
		t.Fatalf("deregister: %v", err)
	}
	throughout(t, time.Now().Add(2*shortHeartbeat), "the newer registration stays", func() error {
		return same([]registry.ServiceInfo{registered(t, reader, "web", "x")}, []registry.ServiceInfo{want})
	})
}
