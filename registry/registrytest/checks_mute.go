package registrytest

import (
	"context"
	"fmt"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

var muteChecks = []check{
	{name: "a call to a mute backend ends when cancelled by hand", needs: mute, run: muteCancelled},
	{name: "a call to a mute backend ends with its deadline", needs: mute, run: muteDeadline},
	{name: "Close returns within 5 s though the backend is mute", needs: mute, run: muteClose},
	{name: "a cache answers from memory while the backend is mute", needs: mute | cached, run: muteCached},
	{name: "a watch of a mute backend keeps the last state and goes stale", needs: mute | push, run: muteWatch},
	{name: "a watch begun while the backend is mute is empty and stale at once", needs: mute | push, run: muteWatchBegun},
	{name: "a watch of a mute backend ends with its context", needs: mute | push, run: muteWatchEnds},
}

// muteCalls requires that each call to a mute backend returns an error within
// contextGrace of the end of its context.
func muteCalls(e *env, begin func() (ctx context.Context, end context.CancelFunc, ends time.Duration)) {
	r := e.open()
	e.register(r, instance("api", "a"))
	e.discover(r, "api")
	e.u.Mute()
	for name := range everyCall(r, e.Context()) {
		if name == "Discover" && e.h.Cached {
			continue // which another check covers
		}
		ctx, end, ends := begin()
		err := e.returns(ends+contextGrace, name+" to a mute backend, its context ended,", everyCall(r, ctx)[name])
		end()
		if err == nil {
			e.Errorf("%s to a mute backend returned no error", name)
		}
	}
}

const muteCall = 100 * time.Millisecond

func muteCancelled(e *env) {
	muteCalls(e, func() (context.Context, context.CancelFunc, time.Duration) {
		ctx, cancel := context.WithCancel(e.Context())
		timer := time.AfterFunc(muteCall, cancel)
		return ctx, func() { timer.Stop(); cancel() }, muteCall
	})
}

func muteDeadline(e *env) {
	muteCalls(e, func() (context.Context, context.CancelFunc, time.Duration) {
		ctx, cancel := context.WithTimeout(e.Context(), muteCall)
		return ctx, cancel, muteCall
	})
}

func muteClose(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	e.u.Mute()
	e.close(r)
}

func muteCached(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	e.lists(r, "api", "a")
	e.u.Mute()
	e.throughout(e.seen(), e.listing(r, "api", "a"))
	ctx, cancel := context.WithTimeout(e.Context(), muteCall)
	defer cancel()
	if got, err := r.Discover(ctx, "never asked for"); err == nil {
		e.Fatalf("Discover of a service of which nothing can be known returned %v and no error", got)
	}
}

func muteWatch(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	f := subscribeService(e, r, "api")
	f.until(e.seen(), showing("a"))
	e.u.Mute()
	f.until(e.seen(), func(s registry.Snapshot) error {
		if len(s.Instances) != 1 || s.Instances[0].ID != "a" {
			e.Fatalf("the backend is mute, and the watch shows %v: it dropped the last known state", ids(s.Instances))
		}
		if s.Stale == nil {
			return fmt.Errorf("the state is not stale")
		}
		return nil
	})
}

func muteWatchBegun(e *env) {
	r := e.open()
	e.u.Mute()
	f := subscribeService(e, r, "api")
	s, ok, _ := f.due(e.seen())
	if !ok || s.Stale == nil || s.Instances == nil || len(s.Instances) != 0 {
		e.Fatalf("the first state (one came: %t) is %+v, want Instances empty and not nil, and Stale set", ok, s)
	}
}

func muteWatchEnds(e *env) {
	r := e.open()
	f := subscribeService(e, r, "api")
	f.until(e.seen(), showing())
	e.u.Mute()
	f.cancel()
	if !f.ended(contextGrace) {
		e.Fatalf("a watch of a mute backend is still running %v after its context", contextGrace)
	}
}
