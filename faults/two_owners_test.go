package faults

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Two processes register one ID, and the later dies.
//
// Promise 5, the newest owner wins: the earlier stops, says so, and never takes
// it back, even after the later one died.
func TestNewestOwnerWins(t *testing.T) {
	t.Parallel()
	testNewestOwnerWins(t)
}

func testNewestOwnerWins(t *testing.T, opts ...redistest.Option) {
	server := redistest.Start(t, opts...)
	said := &logs{}
	a := openShort(t, server, func(cfg *registry.RedisRegistryConfig) { cfg.Logger = said.logger() })
	reader := openShort(t, server)
	earlier := join(t, a, "web", "x")
	web := watch(t, reader, "web")
	first := registered(t, reader, "web", "x")

	later := startOwner(t, ownerConfig(config(t, server, shortTTL, shortHeartbeat), [2]string{"web", "x"}))
	ready, _ := later.find("ready", "")
	lostWithin(t, earlier, ready.Wall, backBy, registry.ErrSuperseded, "promise 5: earlier owner reports its loss")
	if lines := said.lines("superseded by a newer owner", "x"); len(lines) != 1 {
		t.Errorf("the log has %d lines on it: %q", len(lines), lines)
	}
	requireReason(t, reader, "web", "x", reason{kind: registry.EventReplaced, by: pidOf(later.pid), note: pidOf(ownPID)})
	second := registered(t, reader, "web", "x")
	if !second.RegisteredAt.After(first.RegisteredAt) {
		t.Errorf("the later owner's RegisteredAt is %s, the earlier's %s", second.RegisteredAt, first.RegisteredAt)
	}
	throughout(t, time.Now().Add(2*shortTTL), "the later keeps it", discoversExactly(reader, "web", []registry.ServiceInfo{second}))
	if line, lost := later.find("lost", "x"); lost {
		t.Fatalf("the later one reported a loss: %s", line.Error)
	}

	later.kill()
	at := time.Now()
	within(t, at, goneBy, "the later goes with its TTL", discovers(reader, "web"))
	web.await(t, at, goneBy, "the later leaves the watch", isZero)
	requireReason(t, reader, "web", "x", expired(later.pid, shortTTL))
	at = time.Now()
	throughout(t, at.Add(2*shortTTL), "the earlier does not flip it back", discovers(reader, "web"))
	web.requireNever(t, at, "x")
}

// Redis loses its memory before the earlier owner knew.
//
// Promise 5: with both alive the later has it within a heartbeat; if it had died
// by then, the earlier stays.
func TestNewestOwnerWinsThroughMemoryLoss(t *testing.T) {
	t.Parallel()
	const beat = time.Second
	for _, dies := range []bool{false, true} {
		t.Run(fmt.Sprintf("later dies %t", dies), func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			cfg := config(t, server, 3*time.Second, beat)
			beats := make(chan struct{}, 100)
			observed := cfg
			observed.Observer = &registry.Observer{Heartbeat: func(int, time.Duration, error) { beats <- struct{}{} }}
			a, b, reader := open(t, observed), open(t, cfg), open(t, cfg)
			earlier := join(t, a, "web", "x")
			mine := registered(t, reader, "web", "x")
			waittest.Receive(t, beats, "a heartbeat") // the next is most of a second away

			later := join(t, b, "web", "x")
			want := registered(t, reader, "web", "x")
			if dies {
				b.Close()
				want = mine
			}
			flush(t, server)
			at := time.Now()
			figure(t, "promise 5: newest owner has it after a memory loss",
				within(t, at, beat+slack, "it is back", discoversExactly(reader, "web", []registry.ServiceInfo{want})))
			if dies {
				throughout(t, at.Add(2*beat+slack), "the earlier keeps it", func() error {
					notLost(t, earlier)
					if time.Since(at) < beat+slack {
						return nil
					}
					return discoversExactly(reader, "web", []registry.ServiceInfo{want})()
				})
				return
			}
			lostWithin(t, earlier, at, 2*beat+slack, registry.ErrSuperseded, "promise 5: earlier owner reports its loss after a memory loss")
			throughout(t, time.Now().Add(2*beat), "the later keeps it", discoversExactly(reader, "web", []registry.ServiceInfo{want}))
			notLost(t, later)
		})
	}
}

// The earlier owner is stopped while a later one registers and dies, under the same
// name and under another.
//
// Promise 5: resumed, the earlier reports its loss and stays away.
func TestStalledOwnerWasSuperseded(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	cfg := config(t, server, shortTTL, shortHeartbeat)
	reader := open(t, cfg)
	web := watch(t, reader, "web")
	earlier := startOwner(t, ownerConfig(cfg, [2]string{"web", "x"}, [2]string{"web", "y"}))
	earlier.signal(syscall.SIGSTOP)
	b := open(t, cfg)
	register(t, b, "web", "x")
	register(t, b, "db", "y")
	b.Close()
	died := time.Now()
	within(t, died, goneBy, "the later is gone", discovers(reader, "web"))
	within(t, died, goneBy, "the later is gone", discovers(reader, "db"))
	web.await(t, died, goneBy, "all are gone from the watch", isZero)
	requireReason(t, reader, "web", "x", expired(ownPID, shortTTL))
	requireReason(t, reader, "web", "y", reason{kind: registry.EventMoved, by: pidOf(ownPID), note: "db"})
	requireReason(t, reader, "db", "y", expired(ownPID, shortTTL))

	earlier.signal(syscall.SIGCONT)
	at := time.Now()
	for _, id := range []string{"x", "y"} {
		line := earlier.await("lost", id, backBy)
		figure(t, "promise 5: stalled earlier owner reports its loss", line.Wall.Sub(at))
	}
	throughout(t, at.Add(2*shortTTL), "the earlier stays away", func() error {
		if err := discovers(reader, "web")(); err != nil {
			return err
		}
		return discovers(reader, "db")()
	})
	web.requireNever(t, at, "x")
	web.requireNever(t, at, "y")
}

// One registry registers an ID repeatedly, with different data each time, from
// several goroutines, while Redis loses its memory.
//
// Promise 5: no registry is superseded by itself.
func TestNoRegistryIsSupersededByItself(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	cfg := config(t, server, shortTTL, 50*time.Millisecond)
	said := &logs{}
	cfg.Logger = said.logger()
	a := open(t, cfg)
	m := join(t, a, "web", "x")
	var all sync.WaitGroup
	errs := make(chan error, 1000)
	for w := range 4 {
		all.Go(func() {
			for n := range 40 {
				s := service("web", "x")
				if (w+n)%5 == 0 {
					s.Name = "db"
				}
				s.Port = 1 + w*1000 + n
				if err := a.Register(t.Context(), s); err != nil {
					errs <- err
				}
				pause(t, 10*time.Millisecond, "between registrations")
			}
		})
	}
	for range 10 {
		flush(t, server)
		pause(t, 30*time.Millisecond, "between losses of memory")
	}
	all.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	final := service("web", "x")
	if err := a.Register(t.Context(), final); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	throughout(t, at.Add(2*shortTTL), "the last one stays, under its name only", func() error {
		if err := discovers(a, "db")(); err != nil {
			return err
		}
		if got := registered(t, a, "web", "x"); got.Port != final.Port {
			return fmt.Errorf("port %d shows, want %d", got.Port, final.Port)
		}
		return nil
	})
	notLost(t, m)
	if lines := said.lines("superseded"); len(lines) > 0 {
		t.Errorf("the log says %q", lines)
	}
}

func join(t testing.TB, b registry.Backend, name, id string) *registry.Membership {
	t.Helper()
	m, err := registry.Join(contextFor(t, 5*time.Second), b, service(name, id))
	if err != nil {
		t.Fatalf("join %q as %q: %v", name, id, err)
	}
	return m
}
