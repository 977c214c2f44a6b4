package registrytest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

var refuseChecks = []check{
	{name: "while writes are refused Register fails with ErrUnavailable", needs: refuse, run: refusedRegister},
	{name: "while writes are refused Discover reports no absence", needs: refuse, lacks: cached, run: refusedDiscover},
	{name: "while writes are refused a cache lists what it knows", needs: refuse | cached, run: refusedCache},
	{name: "while writes are refused a watch keeps the last state and goes stale", needs: refuse | push, run: refusedWatch},
	{name: "an instance that crashed while writes were refused expires once they are accepted", needs: refuse, run: refusedDied},
	{name: "a registry that only reads opens while writes are refused", needs: refuse, run: refusedOpen},
}

func refusedRegister(e *env) {
	r := e.open()
	defer e.u.Refuse()()
	ctx, cancel := e.call()
	defer cancel()
	if err := r.Register(ctx, instance("api", "a")); !errors.Is(err, registry.ErrUnavailable) {
		e.Fatalf("Register while writes are refused returned %v, want an ErrUnavailable", err)
	}
}

// noAbsence is met unless Discover answers without an instance that lives.
func noAbsence(e *env, r registry.Registry, name, id string) func() error {
	return func() error {
		ctx, cancel := e.call()
		defer cancel()
		list, err := r.Discover(ctx, name)
		switch {
		case err == nil && !slices.Contains(ids(list), id):
			return fmt.Errorf("Discover(%q) reports an absence: %v", name, ids(list))
		case err != nil && !errors.Is(err, registry.ErrUnavailable) && ctx.Err() == nil:
			return fmt.Errorf("Discover(%q): %w, want an ErrUnavailable", name, err)
		}
		return nil
	}
}

func refusedDiscover(e *env) {
	owner, r := e.open(), e.open()
	e.register(owner, instance("api", "a"))
	e.lists(r, "api", "a")
	accept := e.u.Refuse()
	e.throughout(e.lifetimes(2), noAbsence(e, r, "api", "a"))
	accept()
	e.within(e.seen(), answers(e, r, "api", "a"))
}

// answers is met when Discover answers with exactly these IDs.
func answers(e *env, r registry.Registry, name string, want ...string) func() error {
	return func() error {
		ctx, cancel := e.call()
		defer cancel()
		list, err := r.Discover(ctx, name)
		if err == nil && !slices.Equal(ids(list), want) {
			return fmt.Errorf("Discover(%q) = %v, want %v", name, ids(list), want)
		}
		return err
	}
}

func refusedCache(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	e.lists(r, "api", "a")
	accept := e.u.Refuse()
	e.throughout(e.lifetimes(2), e.listing(r, "api", "a"))
	accept()
	e.throughout(e.seen(), e.listing(r, "api", "a"))
}

func refusedWatch(e *env) {
	owner, r := e.open(), e.open()
	e.register(owner, instance("api", "a"))
	f := subscribeService(e, r, "api")
	f.until(e.seen(), showing("a"))
	accept := e.u.Refuse()
	kept := func(s registry.Snapshot) {
		if !slices.Equal(ids(s.Instances), []string{"a"}) {
			e.Fatalf("writes are refused, and the watch shows %v: it dropped the last known state", ids(s.Instances))
		}
	}
	f.until(e.gone()+e.seen(), func(s registry.Snapshot) error {
		if kept(s); s.Stale == nil {
			return errors.New("the state is not stale, though the lease has ended")
		}
		return nil
	})
	e.pause(e.lifetimes(1))
	accept()
	f.until(e.seen(), func(s registry.Snapshot) error {
		if kept(s); s.Stale != nil {
			return fmt.Errorf("the state is still stale: %w", s.Stale)
		}
		return nil
	})
}

func refusedDied(e *env) {
	owner, other, r := e.open(), e.open(), e.open()
	e.register(owner, instance("api", "dies"))
	e.register(other, instance("api", "lives"))
	e.within(e.seen(), e.listing(r, "api", "dies", "lives"))
	accept := e.u.Refuse()
	e.crash(owner)
	e.pause(e.lifetimes(2))
	accept()
	e.within(max(e.h.TTL, e.seen())+e.seen(), answers(e, r, "api", "lives"))
}

func refusedOpen(e *env) {
	owner := e.open()
	for tries := 1; ; tries++ {
		start := time.Now()
		e.register(owner, instance("api", "a"))
		accept := e.u.Refuse()
		r := e.open()
		err := noAbsence(e, r, "api", "a")()
		accept()
		if err == nil {
			e.within(e.seen(), answers(e, r, "api", "a"))
			return
		}
		if tries == 5 || !e.stood(start) { // otherwise the lease may have ended before writes were refused
			e.Fatal(err)
		}
	}
}
