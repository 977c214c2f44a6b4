package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

// startWatcher starts a process that watches a service.
func startWatcher(t testing.TB, s *redistest.Server, name string) *owner {
	t.Helper()
	o := startOwner(t, ownerConfig(config(t, s, shortTTL, shortHeartbeat)))
	o.send("watch", name)
	o.await("done", "watch "+name, 10*time.Second)
	return o
}

// blockWatch watches a service and does not acknowledge the first state until
// release is called.
func blockWatch(t testing.TB, w registry.Watcher, name string) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	first, let, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		seen := false
		for range w.Watch(ctx, name) {
			if !seen {
				seen = true
				close(first)
				<-let
			}
		}
	}()
	released := false
	release = func() {
		if !released {
			released = true
			close(let)
		}
	}
	t.Cleanup(func() { cancel(); release(); <-done })
	waittest.Receive(t, first, "the first state of a watch")
	return release
}

// startDrain runs Drain and returns its result.
func startDrain(ctx context.Context, b registry.Backend, id string) <-chan error {
	result := make(chan error, 1)
	go func() { result <- b.Drain(ctx, id) }()
	return result
}

// hasStatus fails unless an instance has a status and is in the list for it:
// callable or not.
func hasStatus(b registry.Backend, name, id string, want registry.Status) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		snap, err := b.Snapshot(ctx, name)
		if err != nil {
			return err
		}
		list, other := snap.Instances, snap.Others
		if want == registry.StatusDraining || want == registry.StatusCritical {
			list, other = other, list
		}
		for _, s := range other {
			if s.ID == id {
				return fmt.Errorf("%q is %q and in the wrong list, want %q", id, s.Status, want)
			}
		}
		for _, s := range list {
			if s.ID == id && s.Status == want {
				return nil
			}
		}
		return fmt.Errorf("%q is not among those that are %q", id, want)
	}
}

// awaitHeartbeat waits until a lease was renewed after now.
func awaitHeartbeat(t testing.TB, b registry.Backend, name, id string) {
	t.Helper()
	was := leaseEnds(t, b, name)[id]
	within(t, time.Now(), shortHeartbeat+slack, "a heartbeat", func() error {
		if is := leaseEnds(t, b, name)[id]; !is.After(was) {
			return errors.New("none was seen")
		}
		return nil
	})
}

// A probe finds an instance passing, critical and passing again, during a drain of
// it and after.
//
// Status: a passing probe does not end a drain, Undrain does.
func TestProbePassesDuringADrain(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	startOwner(t, ownerConfig(config(t, server, shortTTL, shortHeartbeat), [2]string{"web", "leaver"}))
	operator, prober, slow := openShort(t, server), openShort(t, server), openShort(t, server)
	release := blockWatch(t, slow, "web")
	result := startDrain(contextFor(t, 20*time.Second), operator, "leaver")
	within(t, time.Now(), slack, "it drains", hasStatus(prober, "web", "leaver", registry.StatusDraining))
	for _, status := range []registry.Status{registry.StatusPassing, registry.StatusCritical, registry.StatusPassing} {
		must(t, prober.SetStatus(t.Context(), "leaver", status, "probed"))
		must(t, hasStatus(operator, "web", "leaver", registry.StatusDraining)())
	}
	throughout(t, time.Now().Add(2*shortHeartbeat), "it goes on draining", hasStatus(operator, "web", "leaver", registry.StatusDraining))
	select {
	case err := <-result:
		t.Fatalf("the drain ended with %v although a watcher had not acknowledged it", err)
	default:
	}
	release()
	at := time.Now()
	must(t, waittest.Receive(t, result, "the drain to end"))
	figure(t, "drain: ends after the last watcher acknowledged it", time.Since(at))
	must(t, prober.SetStatus(t.Context(), "leaver", registry.StatusPassing, "well"))
	must(t, hasStatus(operator, "web", "leaver", registry.StatusDraining)())
	must(t, operator.Undrain(t.Context(), "leaver"))
	must(t, hasStatus(prober, "web", "leaver", registry.StatusPassing)())
	all, err := prober.Instances(t.Context(), "web")
	if err != nil || len(all) != 1 || all[0].Note != "well" {
		t.Errorf("after the drain the instance is %+v, %v; want its probe's note", all, err)
	}
}

// An operator drains another's instance, and at once, or after the owner's next
// heartbeat, Redis loses its memory.
//
// Status: what was set survives reregistration. If set less than a heartbeat before a
// total loss it may be lost, but then all readers agree.
func TestOperatorDrainsBeforeAMemoryLoss(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	startOwner(t, ownerConfig(config(t, server, shortTTL, shortHeartbeat), [2]string{"web", "leaver"}))
	operator, reader := openShort(t, server), openShort(t, server)
	web := watch(t, reader, "web")
	must(t, operator.Drain(contextFor(t, 5*time.Second), "leaver"))
	flush(t, server)
	at := time.Now()
	kept := true
	within(t, at, backBy, "it is back, in whichever state", func() error {
		all, err := reader.Instances(t.Context(), "web")
		if err == nil && len(all) != 1 {
			err = fmt.Errorf("there are %d instances", len(all))
		}
		if err == nil {
			kept = all[0].Status == registry.StatusDraining
		}
		return err
	})
	t.Logf("count: drain less than a heartbeat before a total loss: kept %t", kept)
	status := map[bool]registry.Status{true: registry.StatusDraining, false: registry.StatusPassing}[kept]
	within(t, at, backBy+slack, "the watch agrees", func() error {
		if shown := with("leaver")(web.last()); shown == kept || web.last().Stale != nil {
			return fmt.Errorf("the watch shows it: %t, stale: %v; Redis has it as %q", shown, web.last().Stale, status)
		}
		return nil
	})
	throughout(t, time.Now().Add(2*shortHeartbeat), "it stays so", hasStatus(operator, "web", "leaver", status))

	must(t, operator.Drain(contextFor(t, 5*time.Second), "leaver"))
	awaitHeartbeat(t, operator, "web", "leaver")
	flush(t, server)
	at = time.Now()
	took := within(t, at, backBy, "it is back and drains", hasStatus(operator, "web", "leaver", registry.StatusDraining))
	figure(t, "drain: back after a memory loss, still draining", took)
	throughout(t, time.Now().Add(2*shortHeartbeat), "it goes on draining", hasStatus(reader, "web", "leaver", registry.StatusDraining))
	web.requireNever(t, at, "leaver")
	must(t, operator.Undrain(t.Context(), "leaver"))
	web.await(t, time.Now(), backBy, "undrained", with("leaver"))
}

// Redis loses its memory while a drain waits.
//
// Status: a drain that waits sets the status again.
func TestMemoryLossWhileADrainWaits(t *testing.T) {
	t.Parallel()
	testMemoryLossWhileADrainWaits(t)
}

func testMemoryLossWhileADrainWaits(t *testing.T, opts ...redistest.Option) {
	server := redistest.Start(t, opts...)
	startOwner(t, ownerConfig(config(t, server, shortTTL, shortHeartbeat), [2]string{"web", "leaver"}))
	operator, slow := openShort(t, server), openShort(t, server)
	release := blockWatch(t, slow, "web")
	result := startDrain(contextFor(t, 20*time.Second), operator, "leaver")
	within(t, time.Now(), slack, "it drains", hasStatus(slow, "web", "leaver", registry.StatusDraining))
	flush(t, server)
	within(t, time.Now(), backBy+slack, "it drains again", hasStatus(slow, "web", "leaver", registry.StatusDraining))
	release()
	must(t, waittest.Receive(t, result, "the drain to end"))
	must(t, hasStatus(operator, "web", "leaver", registry.StatusDraining)())
}

// A process that watches is killed while a drain waits for it.
//
// Drain returns once the watcher's lease has ended: its TTL + 1 s.
func TestWatcherDiesWhileADrainWaits(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	operator := openShort(t, server)
	register(t, operator, "web", "leaver")
	w := startWatcher(t, server, "web")
	w.signal(syscall.SIGSTOP)
	result := startDrain(contextFor(t, 20*time.Second), operator, "leaver")
	within(t, time.Now(), slack, "it drains", hasStatus(operator, "web", "leaver", registry.StatusDraining))
	select {
	case err := <-result:
		t.Fatalf("the drain ended with %v although a watcher had not acknowledged it", err)
	default:
	}
	w.kill()
	at := time.Now()
	must(t, waittest.Receive(t, result, "the drain to end"))
	took := checkBound(t, at, goneBy, "the drain ends after the watcher has died")
	figure(t, "drain: ends after a watcher was killed, beyond its TTL", max(0, took-shortTTL))
}

// Two of three processes that watch are frozen while a drain waits.
//
// Drain returns the context's error, which says how many processes have not
// acknowledged the state. It returns nil once they have.
func TestWatchersFrozenWhileADrainWaits(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	operator := openShort(t, server, func(cfg *registry.RedisRegistryConfig) { cfg.Namespace = "frozen" })
	register(t, operator, "web", "leaver")
	var watchers []*owner
	for range 3 {
		cfg := config(t, server, 20*time.Second, shortHeartbeat)
		cfg.Namespace = "frozen"
		w := startOwner(t, ownerConfig(cfg))
		w.send("watch", "web")
		w.await("done", "watch web", 10*time.Second)
		watchers = append(watchers, w)
	}
	watchers[0].signal(syscall.SIGSTOP)
	watchers[1].signal(syscall.SIGSTOP)
	const limit = time.Second
	for tries := 1; ; tries++ {
		begun := time.Now()
		err := operator.Drain(contextFor(t, limit), "leaver")
		checkBound(t, begun, limit+slack, "the drain ends with its context")
		if errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), ": 2 ") {
			break
		}
		if tries == 10 || stall.Since(t, begun) < limit/10 { // a busy machine may not have counted them
			t.Fatalf("the drain's error is %v, want the context's that names 2 processes", err)
		}
	}
	must(t, hasStatus(operator, "web", "leaver", registry.StatusDraining)())
	result := startDrain(contextFor(t, 15*time.Second), operator, "leaver")
	watchers[0].signal(syscall.SIGCONT)
	watchers[1].signal(syscall.SIGCONT)
	at := time.Now()
	must(t, waittest.Receive(t, result, "the drain to end"))
	figure(t, "drain: ends after frozen watchers ran on", checkBound(t, at, backBy, "the drain ends after the watchers run on"))
}

// No process watches the service, or no longer, or only other services are watched.
//
// Drain returns at once.
func TestDrainOfAnUnwatchedService(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	owner, operator := openShort(t, server), openShort(t, server)
	register(t, owner, "web", "a", "b", "c")
	register(t, owner, "other", "d")
	watch(t, operator, "other")
	var slowest maximum
	drain := func(id string) {
		t.Helper()
		begun := time.Now()
		must(t, operator.Drain(contextFor(t, 5*time.Second), id))
		slowest.add(checkBound(t, begun, slack, "a drain that no process has to be informed of"))
	}
	drain("a")
	for range operator.Watch(t.Context(), "web") {
		break
	}
	drain("b")
	ended := openShort(t, server)
	watch(t, ended, "web")
	must(t, ended.Close())
	drain("c")
	figure(t, "drain: of an unwatched service", slowest.get())
	for _, call := range []func(context.Context, string) error{operator.Drain, operator.Undrain} {
		if err := call(t.Context(), "unknown"); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("the error for an unknown ID is %v, want one that matches %v", err, registry.ErrNotFound)
		}
	}
}

// An instance is undrained, after a drain and while one waits.
//
// Status: Undrain ends a drain.
func TestUndrain(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	startOwner(t, ownerConfig(config(t, server, shortTTL, shortHeartbeat), [2]string{"web", "stayer"}))
	operator, other, slow := openShort(t, server), openShort(t, server), openShort(t, server)
	web := watch(t, other, "web")
	must(t, operator.Drain(contextFor(t, 5*time.Second), "stayer"))
	at := time.Now()
	if with("stayer")(web.last()) {
		t.Error("the drain ended before a watch had acknowledged it")
	}
	must(t, other.Undrain(t.Context(), "stayer"))
	web.await(t, at, backBy, "undrained", with("stayer"))
	awaitHeartbeat(t, operator, "web", "stayer")
	must(t, hasStatus(operator, "web", "stayer", registry.StatusPassing)())

	release := blockWatch(t, slow, "web")
	result := startDrain(contextFor(t, 20*time.Second), operator, "stayer")
	within(t, time.Now(), slack, "it drains", hasStatus(other, "web", "stayer", registry.StatusDraining))
	must(t, other.Undrain(t.Context(), "stayer"))
	throughout(t, time.Now().Add(2*time.Second+slack/2), "no drain undoes it", hasStatus(other, "web", "stayer", registry.StatusPassing))
	release()
	if err := waittest.Receive(t, result, "the drain to end"); err == nil {
		t.Error("the drain that was undone returned nil")
	}
	must(t, hasStatus(other, "web", "stayer", registry.StatusPassing)())
}

// Redis restarts empty while a drain waits for a loop that is slow.
//
// Drain waits until the loop has acknowledged the state.
func TestRestartEmptyWhileADrainWaits(t *testing.T) {
	t.Parallel()
	testRestartEmptyWhileADrainWaits(t)
}

func testRestartEmptyWhileADrainWaits(t *testing.T, opts ...redistest.Option) {
	server := redistest.Start(t, opts...)
	startOwner(t, ownerConfig(config(t, server, shortTTL, shortHeartbeat), [2]string{"web", "leaver"}))
	operator, slow := openShort(t, server), openShort(t, server)
	register(t, operator, "web", "stayer")
	release := blockWatch(t, slow, "web")
	result := startDrain(contextFor(t, 30*time.Second), operator, "leaver")
	within(t, time.Now(), slack, "it drains", hasStatus(operator, "web", "leaver", registry.StatusDraining))
	for range 3 {
		server.Restart()
		within(t, time.Now(), backBy+slack, "it drains again", hasStatus(operator, "web", "leaver", registry.StatusDraining))
		throughout(t, time.Now().Add(2*shortHeartbeat), "the drain waits", func() error {
			select {
			case err := <-result:
				return fmt.Errorf("it ended with %v although a loop has not acknowledged", err)
			default:
				return nil
			}
		})
	}
	release()
	must(t, waittest.Receive(t, result, "the drain to end"))
}

// A process ends its watches and closes its registry, at once or one after the other.
//
// No drain waits for its watcher lease.
func TestDrainAfterAWatcherClosed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	operator := openShort(t, server)
	for round := range 10 {
		id := fmt.Sprint("leaver-", round)
		register(t, operator, "web", id)
		watcher := open(t, config(t, server, 30*time.Second, 10*time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		first, done := make(chan struct{}, 1), make(chan struct{})
		go func() {
			defer close(done)
			for range watcher.Watch(ctx, "web") {
				select {
				case first <- struct{}{}:
				default:
				}
			}
		}()
		waittest.Receive(t, first, "the first state")
		cancel()
		if round%2 == 0 {
			waittest.Receive(t, done, "the watch to end")
		}
		must(t, watcher.Close())
		begun := time.Now()
		must(t, operator.Drain(contextFor(t, 20*time.Second), id))
		checkBound(t, begun, slack, "a drain after the only watcher closed")
	}
}
