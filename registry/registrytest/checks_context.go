package registrytest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

var contextChecks = []check{
	{name: "a call whose context was cancelled fails at once", run: cancelledCalls},
	{name: "a call whose context has expired fails at once", run: expiredCalls},
	{name: "the context of Register bounds that call only", run: registerContext},
	{name: "a failed replacement leaves the registration running", run: failedReplacement},
}

// everyCall calls each method of r that takes a context and can fail.
func everyCall(r registry.Registry, ctx context.Context) map[string]func() error {
	calls := map[string]func() error{
		"Register":   func() error { return r.Register(ctx, at("api", "new", 7)) },
		"Deregister": func() error { return r.Deregister(ctx, "unknown") },
		"Discover":   func() error { _, err := r.Discover(ctx, "api"); return err },
	}
	if b, ok := r.(registry.Backend); ok {
		calls["Snapshot"] = func() error { _, err := b.Snapshot(ctx, "api"); return err }
		calls["Instances"] = func() error { _, err := b.Instances(ctx, "api"); return err }
		calls["Events"] = func() error { _, err := b.Events(ctx, "api"); return err }
		calls["Services"] = func() error { _, err := b.Services(ctx); return err }
	}
	return calls
}

func failAtOnce(e *env, ctx context.Context) {
	r := e.open()
	e.register(r, instance("api", "a"))
	for name, call := range everyCall(r, ctx) {
		if err := e.returns(contextGrace, name+" with an ended context", call); err == nil {
			e.Errorf("%s with an ended context (%v) returned no error", name, ctx.Err())
		}
	}
}

func cancelledCalls(e *env) {
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	failAtOnce(e, ctx)
}

func expiredCalls(e *env) {
	ctx, cancel := context.WithDeadline(e.Context(), time.Now().Add(-time.Second))
	defer cancel()
	failAtOnce(e, ctx)
}

func registerContext(e *env) {
	r := e.open()
	ctx, cancel := context.WithTimeout(e.Context(), waitLimit)
	if err := r.Register(ctx, instance("api", "a")); err != nil {
		e.Fatalf("Register: %v", err)
	}
	cancel()
	e.throughout(e.lifetimes(3), func() error {
		if got := ids(e.discover(r, "api")); !slices.Equal(got, []string{"a"}) {
			return fmt.Errorf("the context of Register ended, and Discover = %v, want [a]", got)
		}
		return nil
	})
}

func failedReplacement(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	if r.Register(ctx, at("api", "a", 9)) == nil {
		e.Fatal("Register with a cancelled context returned no error")
	}
	e.throughout(e.lifetimes(3), func() error {
		if got := ids(e.discover(r, "api")); !slices.Equal(got, []string{"a"}) {
			return fmt.Errorf("a replacement failed, and Discover = %v, want [a]", got)
		}
		return nil
	})
}
