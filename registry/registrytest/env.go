package registrytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/registry"
)

const (
	// waitLimit bounds what must happen but has no promised time.
	waitLimit = 10 * time.Second
	// closeLimit is how long Close may take.
	closeLimit = 5 * time.Second
	// contextGrace is how long a call may take to return once its context has ended.
	contextGrace = time.Second
	// pollInterval is the time between two evaluations of a condition.
	pollInterval = 20 * time.Millisecond
)

// env is what one check works with.
type env struct {
	testing.TB
	h Harness
	u Universe
}

func newEnv(tb testing.TB, h Harness) *env {
	tb.Helper()
	e := &env{TB: tb, h: h, u: h.New(tb)}
	if e.u.Open == nil {
		tb.Fatal("registrytest: Universe.Open is not set")
	}
	if h.Mute && e.u.Mute == nil {
		tb.Fatal("registrytest: the harness declares Mute, but Universe.Mute is not set")
	}
	return e
}

// open opens a registry and compares its interfaces with what the harness declares.
func (e *env) open() registry.Registry {
	e.Helper()
	r := e.u.Open(e.TB)
	if r == nil {
		e.Fatal("Universe.Open returned nil")
	}
	e.Cleanup(func() {
		if err := r.Close(); err != nil {
			e.Errorf("Close at the end of the check: %v", err)
		}
	})
	_, watches := r.(registry.Watcher)
	if declared := e.h.capabilities()&push != 0; watches != declared {
		e.Fatalf("%T implements registry.Watcher: %t; the harness declares Push: %t", r, watches, declared)
	}
	if _, full := r.(registry.Backend); full != e.h.Backend {
		e.Fatalf("%T implements registry.Backend: %t; the harness declares Backend: %t", r, full, e.h.Backend)
	}
	return r
}

func (e *env) openBackend() registry.Backend {
	e.Helper()
	return e.open().(registry.Backend)
}

func (e *env) crash(r registry.Registry) {
	e.Helper()
	if e.u.Crash != nil {
		e.u.Crash(r)
	} else if err := r.Close(); err != nil {
		e.Fatalf("Close: %v", err)
	}
}

// call returns the context of one call.
func (e *env) call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(e.Context(), waitLimit)
}

func (e *env) register(r registry.Registry, services ...registry.ServiceInfo) {
	e.Helper()
	for _, s := range services {
		ctx, cancel := e.call()
		err := r.Register(ctx, s)
		cancel()
		if err != nil {
			e.Fatalf("Register(%q, ID %q): %v", s.Name, s.ID, err)
		}
	}
}

func (e *env) deregister(r registry.Registry, id string) {
	e.Helper()
	ctx, cancel := e.call()
	defer cancel()
	if err := r.Deregister(ctx, id); err != nil {
		e.Fatalf("Deregister(%q): %v", id, err)
	}
}

// ask makes a read that must succeed. Unavailability breaks no promise by
// itself, so on a busy machine a read gets more than one chance.
func ask[T any](e *env, what string, read func(context.Context) (T, error)) T {
	e.Helper()
	ctx, cancel := e.call()
	defer cancel()
	for {
		got, err := read(ctx)
		if err == nil {
			return got
		}
		if !errors.Is(err, registry.ErrUnavailable) || ctx.Err() != nil {
			e.Fatalf("%s: %v", what, err)
		}
		e.pause(pollInterval)
	}
}

// pause waits, or until the check's context ends.
func (e *env) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.Context().Done():
	}
}

// left is what is left of the time d from start, to which the machine's stall
// since then is added. In a bubble there is none.
func (e *env) left(start time.Time, d time.Duration) time.Duration {
	left := d - time.Since(start)
	if left <= 0 && !e.h.Bubble {
		left += stall.Since(e.TB, start)
	}
	return left
}

// stood reports whether the machine kept the check from running for half a
// heartbeat since start. A request may have had no more time than a heartbeat.
func (e *env) stood(start time.Time) bool {
	return !e.h.Bubble && e.h.Heartbeat > 0 && stall.Since(e.TB, start) >= e.h.Heartbeat/2
}

func (e *env) discover(r registry.Registry, name string) []registry.ServiceInfo {
	e.Helper()
	got := ask(e, fmt.Sprintf("Discover(%q)", name), func(ctx context.Context) ([]registry.ServiceInfo, error) {
		return r.Discover(ctx, name)
	})
	if got == nil {
		e.Fatalf("Discover(%q) returned nil: an empty list must not be nil", name)
	}
	return got
}

// one returns the only instance of a service.
func (e *env) one(r registry.Registry, name string) registry.ServiceInfo {
	e.Helper()
	got := e.discover(r, name)
	if len(got) != 1 {
		e.Fatalf("Discover(%q) = %v, want one instance", name, ids(got))
	}
	return got[0]
}

// lists requires that Discover shows exactly these IDs, in this order.
func (e *env) lists(r registry.Registry, name string, want ...string) {
	e.Helper()
	if got := ids(e.discover(r, name)); !slices.Equal(got, want) {
		e.Fatalf("Discover(%q) = %v, want %v", name, got, want)
	}
}

// peerLists is lists for what another registry wrote: at once, or for a cache
// as soon as its watch must have seen it.
func (e *env) peerLists(r registry.Registry, name string, want ...string) {
	e.Helper()
	e.within(e.lag(), func() error {
		if got := ids(e.discover(r, name)); !slices.Equal(got, want) {
			return fmt.Errorf("Discover(%q) = %v, want %v", name, got, want)
		}
		return nil
	})
}

// lag is how far a registry may be behind what others wrote.
func (e *env) lag() time.Duration {
	if e.h.Cached {
		return e.seen()
	}
	return 0
}

// The times below are the contract's. To each wait the machine's stall is added.

// seen is the time after which a change must show in every watch.
func (e *env) seen() time.Duration { return e.h.Heartbeat + time.Second }

// gone is the time after which no registry may list a crashed owner's instance.
func (e *env) gone() time.Duration { return e.h.TTL + time.Second }

// quiet is how long to wait for what must not happen: three heartbeats.
func (e *env) quiet() time.Duration {
	if e.h.Bubble {
		return max(3*e.h.Heartbeat, time.Minute)
	}
	return max(3*e.h.Heartbeat, 250*time.Millisecond)
}

// lifetimes is n TTLs, or a quiet time where nothing expires.
func (e *env) lifetimes(n int) time.Duration {
	if !e.h.Expiry {
		return e.quiet()
	}
	return time.Duration(n) * e.h.TTL
}

// within requires that cond becomes nil in time. The last evaluation begins
// after the time is up.
func (e *env) within(d time.Duration, cond func() error) {
	e.Helper()
	start := time.Now()
	for {
		last := e.left(start, d) <= 0
		err := cond()
		if err == nil {
			return
		}
		if last {
			e.Fatalf("after %v: %v", d, err)
		}
		e.pause(pollInterval)
	}
}

// throughout requires that cond stays nil all the time.
func (e *env) throughout(d time.Duration, cond func() error) {
	e.Helper()
	every := max(pollInterval, d/200)
	for start := time.Now(); ; e.pause(every) {
		if err := cond(); err != nil {
			e.Fatalf("after %v: %v", time.Since(start).Round(time.Millisecond), err)
		}
		if time.Since(start) >= d {
			return
		}
	}
}

// returns requires that f returns in time, and returns its result.
func (e *env) returns(d time.Duration, what string, f func() error) error {
	e.Helper()
	start := time.Now()
	done := make(chan error, 1)
	go func() { done <- f() }()
	for left := d; left > 0; left = e.left(start, d) {
		select {
		case err := <-done:
			return err
		case <-time.After(left):
		}
	}
	e.Fatalf("%s has not returned after %v", what, d)
	return nil
}

// instance returns a service with every field set.
func instance(name, id string) registry.ServiceInfo {
	return registry.ServiceInfo{
		ID: id, Name: name, Version: "1.2.3", Address: "192.0.2.1", Port: 8080, HealthEndpoint: "/health/ready",
		Metadata:   map[string]string{registry.MetadataZone: "eu-1", "empty": "", "名": "前"},
		Tags:       []string{"blue", "canary"},
		Weight:     3,
		Extensions: map[string]string{"x": "y"},
	}
}

// at returns instance with another port.
func at(name, id string, port int) registry.ServiceInfo {
	s := instance(name, id)
	s.Port = port
	return s
}

func ids(services []registry.ServiceInfo) []string {
	out := make([]string, len(services))
	for i, s := range services {
		out[i] = s.ID
	}
	return out
}

// differs names the first field in which two services differ, RegisteredAt
// aside: "" counts as passing, a weight of 0 as 1, an empty map as none.
func differs(got, want registry.ServiceInfo) error {
	status := func(s registry.ServiceInfo) registry.Status {
		if s.Status == "" {
			return registry.StatusPassing
		}
		return s.Status
	}
	for _, f := range []struct {
		field     string
		same      bool
		got, want any
	}{
		{"ID", got.ID == want.ID, got.ID, want.ID},
		{"Name", got.Name == want.Name, got.Name, want.Name},
		{"Version", got.Version == want.Version, got.Version, want.Version},
		{"Address", got.Address == want.Address, got.Address, want.Address},
		{"Port", got.Port == want.Port, got.Port, want.Port},
		{"HealthEndpoint", got.HealthEndpoint == want.HealthEndpoint, got.HealthEndpoint, want.HealthEndpoint},
		{"Metadata", maps.Equal(got.Metadata, want.Metadata), got.Metadata, want.Metadata},
		{"Tags", slices.Equal(got.Tags, want.Tags), got.Tags, want.Tags},
		{"Weight", max(got.Weight, 1) == max(want.Weight, 1), got.Weight, want.Weight},
		{"Status", status(got) == status(want), got.Status, want.Status},
		{"Extensions", maps.Equal(got.Extensions, want.Extensions), got.Extensions, want.Extensions},
	} {
		if !f.same {
			return fmt.Errorf("%s is %q, want %q", f.field, fmt.Sprint(f.got), fmt.Sprint(f.want))
		}
	}
	return nil
}

// sameLists requires two lists to be equal, RegisteredAt included.
func sameLists(got, want []registry.ServiceInfo) error {
	if !slices.Equal(ids(got), ids(want)) {
		return fmt.Errorf("IDs are %v, want %v", ids(got), ids(want))
	}
	for i := range got {
		if err := differs(got[i], want[i]); err != nil {
			return fmt.Errorf("instance %q: %w", want[i].ID, err)
		}
		if !got[i].RegisteredAt.Equal(want[i].RegisteredAt) {
			return fmt.Errorf("instance %q: RegisteredAt is %v, want %v", want[i].ID, got[i].RegisteredAt, want[i].RegisteredAt)
		}
	}
	return nil
}
