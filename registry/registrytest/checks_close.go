package registrytest

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/rollcall-sd/rollcall/registry"
)

var closeChecks = []check{
	{name: "after Close every call says that the registry is closed", run: closedCalls},
	{name: "a second Close returns nil", run: closeTwice},
	{name: "Close returns within 5 s", run: closeReturns},
	{name: "Close ends every watch", needs: push, run: closeEndsWatches},
	{name: "a watch of a closed registry says so and ends", needs: push, run: closedWatch},
	{name: "a catalog watch of a closed registry says so and ends", needs: backend, run: closedCatalog},
}

func closedCalls(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	e.close(r)
	for name, call := range everyCall(r, e.Context()) {
		if err := e.returns(contextGrace, name+" after Close", call); !errors.Is(err, registry.ErrClosed) {
			e.Errorf("%s after Close: the error does not match ErrClosed: %v", name, err)
		}
	}
}

func (e *env) close(r registry.Registry) {
	e.Helper()
	if err := e.returns(closeLimit, "Close", r.Close); err != nil {
		e.Fatalf("Close: %v", err)
	}
}

func closeTwice(e *env) {
	r := e.open()
	e.close(r)
	e.close(r)
}

func closeReturns(e *env) {
	r := e.open()
	for i := range 10 {
		e.register(r, instance("api", fmt.Sprint(i)))
	}
	e.close(r)
}

func closeEndsWatches(e *env) {
	r := e.open()
	waiting := subscribeService(e, r, "api")
	waiting.until(e.seen(), showing())
	behind := subscribeService(e, r, "api") // whose loop does not ask for more
	behind.first()
	e.close(r)
	for what, f := range map[string]*subscriber[registry.Snapshot]{"waiting": waiting, "slow": behind} {
		if !f.ended(e.seen()) {
			e.Errorf("a %s watch has not ended after Close", what)
		}
	}
}

func closedWatch(e *env) {
	r := e.open()
	e.close(r)
	yieldsOneStale(e, func(ctx context.Context) iter.Seq[registry.Snapshot] { return r.(registry.Watcher).Watch(ctx, "api") },
		func(s registry.Snapshot) error {
			if s.Instances == nil {
				return errors.New("Instances is nil")
			}
			return s.Stale
		}, registry.ErrClosed)
}

func closedCatalog(e *env) {
	r := e.openBackend()
	e.close(r)
	yieldsOneStale(e, r.WatchServices, func(c registry.Catalog) error { return c.Stale }, registry.ErrClosed)
}

// yieldsOneStale requires one state whose Stale matches want, and the end.
func yieldsOneStale[T any](e *env, watch func(context.Context) iter.Seq[T], stale func(T) error, want error) {
	e.Helper()
	f := subscribe(e, watch)
	if err := stale(f.first()); !errors.Is(err, want) {
		e.Fatalf("the only state's Stale does not match %q: %v", want, err)
	}
	if s, ok, ended := f.due(e.seen()); !ended {
		e.Fatalf("the watch did not end after its only state (another one: %t, %+v)", ok, s)
	}
}
