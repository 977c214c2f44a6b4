package registrytest

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

var watchChecks = []check{
	{name: "a watch yields the current state at once", needs: push, run: watchAtOnce},
	{name: "a watch yields the state of an unoffered service at once", needs: push, run: watchUnoffered},
	{name: "a watch yields the state after each change", needs: push, run: watchChanges},
	{name: "a watch sees an instance move to another name", needs: push, run: watchMoves},
	{name: "a watch carries every field", needs: push, run: watchFields},
	{name: "a watch separates callable instances from the others", needs: push, run: watchOthers},
	{name: "a watch's revision moves with every change", needs: push, run: watchRevision},
	{name: "a watch is not woken by other services", needs: push, run: watchOtherServices},
	{name: "a watch is not woken by heartbeats and renewals", needs: push, run: watchRenewals},
	{name: "a slow subscriber is given the newest state", needs: push, run: watchSlow},
	{name: "a slow subscriber slows no other", needs: push, run: watchSlowAlone},
	{name: "a break ends a watch", needs: push, run: watchBreak},
	{name: "the end of its context ends a watch", needs: push, run: watchContext},
	{name: "a watch with an ended context ends at once", needs: push, run: watchEndedContext},
	{name: "a watch does not end by itself", needs: push, run: watchLasts},
	{name: "a watch of a bad name yields one stale state and ends", needs: push, run: watchBadName},
	{name: "many watches of one service all see each change", needs: push, run: watchMany},
	{name: "watches never mix odd names", needs: push, run: watchOddNames},
	{name: "a watch converges to Discover", needs: push, run: watchConverges},
	{name: "a watch sees what other registries change", needs: push | shared, run: watchPeers},
}

func watchAtOnce(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"), instance("api", "b"))
	s := subscribeService(e, r, "api").first()
	if err := showing("a", "b")(s); err != nil {
		e.Fatalf("the first state: %v", err)
	}
	if s.Service != "api" {
		e.Errorf("Snapshot.Service is %q, want %q", s.Service, "api")
	}
	if s.AsOf.IsZero() {
		e.Error("Snapshot.AsOf is not set")
	}
}

func watchUnoffered(e *env) {
	r := e.open()
	f := subscribeService(e, r, "unknown")
	s := f.first()
	if err := showing()(s); err != nil {
		e.Fatalf("the first state of a service without instances: %v", err)
	}
	if s.Service != "unknown" {
		e.Errorf("Snapshot.Service is %q, want %q", s.Service, "unknown")
	}
	e.register(r, instance("unknown", "a"))
	f.until(e.seen(), showing("a"))
}

func watchChanges(e *env) {
	r := e.open()
	f := subscribeService(e, r, "api")
	f.until(e.seen(), showing())
	e.register(r, at("api", "a", 1))
	f.until(e.seen(), showing("a"))
	e.register(r, at("api", "b", 1))
	f.until(e.seen(), showing("a", "b"))
	e.register(r, at("api", "a", 2))
	s := f.until(e.seen(), showing("b", "a"))
	if s.Instances[1].Port != 2 {
		e.Fatalf("after a replacement the watch shows port %d, want 2", s.Instances[1].Port)
	}
	e.deregister(r, "b")
	f.until(e.seen(), showing("a"))
	e.deregister(r, "a")
	f.until(e.seen(), showing()) // a true zero is seen
}

func watchMoves(e *env) {
	r := e.open()
	e.register(r, instance("old", "a"))
	before, after := subscribeService(e, r, "old"), subscribeService(e, r, "new")
	before.until(e.seen(), showing("a"))
	after.until(e.seen(), showing())
	e.register(r, instance("new", "a"))
	after.until(e.seen(), showing("a"))
	before.until(e.seen(), showing())
}

func watchFields(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	s := subscribeService(e, r, "api").until(e.seen(), showing("a"))
	if err := sameLists(s.Instances, e.discover(r, "api")); err != nil {
		e.Fatalf("what the watch shows and Discover differ: %v", err)
	}
	if err := differs(s.Instances[0], instance("api", "a")); err != nil {
		e.Fatalf("what the watch shows is not what was registered: %v", err)
	}
}

func watchOthers(e *env) {
	r := e.open()
	f := subscribeService(e, r, "api")
	f.until(e.seen(), showing())
	for _, status := range []registry.Status{
		registry.StatusPassing, registry.StatusCritical, registry.StatusWarning, registry.StatusDraining,
	} {
		s := instance("api", string(status))
		s.Status = status
		e.register(r, s)
	}
	f.until(e.seen(), func(s registry.Snapshot) error {
		if err := showing("passing", "warning")(s); err != nil {
			return err
		}
		if got, want := ids(s.Others), []string{"critical", "draining"}; !slices.Equal(got, want) {
			return fmt.Errorf("the others are %v, want %v", got, want)
		}
		return nil
	})
}

func watchRevision(e *env) {
	r := e.open()
	f := subscribeService(e, r, "api")
	seen := revisions{}
	changed := func(state string, want ...string) {
		e.Helper()
		seen.add(e, f.until(e.seen(), showing(want...)).Revision, state)
	}
	changed("nothing")
	e.register(r, at("api", "a", 1))
	changed("a", "a")
	e.register(r, at("api", "b", 1))
	changed("a and b", "a", "b")
	e.register(r, at("api", "a", 2))
	changed("a replaced", "b", "a")
	e.deregister(r, "b")
	changed("b gone", "a")
	e.deregister(r, "a")
	changed("nothing")
}

// revisions holds which state each revision stood for. A revision may come back
// with its state.
type revisions map[uint64]string

func (seen revisions) add(e *env, revision uint64, state string) {
	e.Helper()
	if before, ok := seen[revision]; ok && before != state {
		e.Fatalf("revision %d stands for %q and for %q", revision, before, state)
	}
	seen[revision] = state
}

// sentinel makes a change that the watch must show next.
func sentinel(e *env, f *subscriber[registry.Snapshot], r registry.Registry, why string, want ...string) {
	e.Helper()
	e.register(r, instance("api", "sentinel"))
	s, ok, _ := f.due(e.seen())
	if !ok {
		e.Fatal("the watch does not show a change")
	}
	if err := showing(append(want, "sentinel")...)(s); err != nil {
		e.Fatalf("the watch was woken %s: %v", why, err)
	}
}

func watchOtherServices(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	f := subscribeService(e, r, "api")
	before := f.until(e.seen(), showing("a"))
	for i := range 20 {
		for _, name := range []string{"ap", "apis", "api:a", "web"} {
			e.register(r, at(name, name, i+1))
		}
	}
	e.deregister(r, "web")
	f.silent(e.quiet(), "by other services")
	sentinel(e, f, r, "by other services", "a")
	e.deregister(r, "sentinel")
	if s := f.until(e.seen(), showing("a")); s.Revision == before.Revision {
		e.Fatalf("after two changes the revision is %d as before", s.Revision)
	}
}

func watchRenewals(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	f := subscribeService(e, r, "api")
	f.until(e.seen(), showing("a"))
	for range 5 {
		e.register(r, instance("api", "a"))
	}
	f.silent(e.lifetimes(2), "by heartbeats or renewals")
	sentinel(e, f, r, "by heartbeats or renewals", "a")
}

// burst makes 60 changes, the last of which sets lastPort.
func burst(e *env, r registry.Registry) error {
	ctx, cancel := e.call()
	defer cancel()
	for port := 1; port <= lastPort; port++ {
		if err := r.Register(ctx, at("api", "a", port)); err != nil {
			return fmt.Errorf("Register: %w", err)
		}
	}
	return nil
}

const lastPort = 60

func onPort(port int) func(registry.Snapshot) error {
	return func(s registry.Snapshot) error {
		if err := showing("a")(s); err != nil {
			return err
		}
		if s.Instances[0].Port != port {
			return fmt.Errorf("port is %d, want %d", s.Instances[0].Port, port)
		}
		return nil
	}
}

func watchSlow(e *env) {
	r := e.open()
	slow := subscribeService(e, r, "api")
	slow.first()
	if err := burst(e, r); err != nil {
		e.Fatal(err)
	}
	subscribeService(e, r, "api").until(e.seen(), onPort(lastPort))
	reads := 0
	slow.until(e.seen(), func(s registry.Snapshot) error { reads++; return onPort(lastPort)(s) })
	if reads > 5 {
		e.Fatalf("a slow subscriber was given %d states before the newest: a backlog", reads-1)
	}
	slow.silent(e.quiet(), "though nothing changed since the newest state")
}

func watchSlowAlone(e *env) {
	r := e.open()
	slow, quick := subscribeService(e, r, "api"), subscribeService(e, r, "api")
	slow.first()
	quick.first()
	if err := e.returns(waitLimit, "Register beside a slow subscriber", func() error { return burst(e, r) }); err != nil {
		e.Fatal(err)
	}
	quick.until(e.seen(), onPort(lastPort))
}

func watchBreak(e *env) {
	r := e.open()
	for _, f := range []*subscriber[registry.Snapshot]{subscribeService(e, r, "api"), subscribeService(e, r, "unknown")} {
		f.first()
		f.stop()
		if !f.ended(contextGrace) {
			e.Fatalf("the loop broke, and %v later the watch still runs", contextGrace)
		}
	}
	f := subscribeService(e, r, "api")
	f.first()
	e.register(r, instance("api", "a"))
	f.until(e.seen(), showing("a"))
	f.stop()
	if !f.ended(contextGrace) {
		e.Fatalf("the loop broke at a change, and %v later the watch still runs", contextGrace)
	}
}

func watchContext(e *env) {
	r := e.open()
	waiting, slow := subscribeService(e, r, "api"), subscribeService(e, r, "api")
	waiting.until(e.seen(), showing())
	waiting.silent(pollInterval, "though nothing changed") // it waits for a change now
	slow.first()
	waiting.cancel()
	slow.cancel()
	if !waiting.ended(contextGrace) || !slow.ended(contextGrace) {
		e.Fatalf("a watch has not ended %v after its context", contextGrace)
	}
}

func watchEndedContext(e *env) {
	r := e.open()
	f := subscribe(e, func(context.Context) iter.Seq[registry.Snapshot] {
		ctx, cancel := context.WithCancel(e.Context())
		cancel()
		return r.(registry.Watcher).Watch(ctx, "api")
	})
	if !f.ended(contextGrace) {
		e.Fatalf("a watch whose context had ended before is still running after %v", contextGrace)
	}
}

func watchLasts(e *env) {
	r := e.open()
	f := subscribeService(e, r, "api")
	f.until(e.seen(), showing())
	for i := range 3 {
		e.register(r, at("api", "a", i+1))
		f.until(e.seen(), onPort(i+1))
		e.deregister(r, "a")
		f.until(e.seen(), showing())
		f.silent(e.quiet()/3, "though nothing changed")
	}
}

func watchBadName(e *env) {
	r := e.open()
	for _, name := range []string{"", "a\nb", "\xff"} {
		yieldsOneStale(e, func(ctx context.Context) iter.Seq[registry.Snapshot] { return r.(registry.Watcher).Watch(ctx, name) },
			func(s registry.Snapshot) error {
				if s.Instances == nil {
					return fmt.Errorf("Instances is nil")
				}
				return s.Stale
			}, registry.ErrInvalidService)
	}
}

func watchMany(e *env) {
	r := e.open()
	many := make([]*subscriber[registry.Snapshot], 50)
	for i := range many {
		many[i] = subscribeService(e, r, "api")
		many[i].until(e.seen(), showing())
	}
	many[0].stop() // its end must not end the others
	e.register(r, instance("api", "a"))
	for _, f := range many[1:] {
		f.until(e.seen(), showing("a"))
	}
	e.deregister(r, "a")
	for _, f := range many[1:] {
		f.until(e.seen(), showing())
	}
}

func watchOddNames(e *env) {
	r := e.open()
	watches := make([]*subscriber[registry.Snapshot], len(oddities))
	for i, odd := range oddities {
		watches[i] = subscribeService(e, r, odd)
		watches[i].until(e.seen(), showing())
	}
	for _, odd := range oddities {
		e.register(r, instance(odd, odd))
	}
	for i, odd := range oddities {
		watches[i].until(e.seen(), showing(odd))
	}
	for i, odd := range oddities {
		watches[i].silent(pollInterval, "by a service of a similar name as "+odd)
	}
}

// watchConverges changes one service from several sides at random; then the
// watch and Discover must agree in everything.
func watchConverges(e *env) {
	registries := []registry.Registry{e.open()}
	if e.h.Shared {
		registries = append(registries, e.open())
	}
	f := subscribeService(e, registries[0], "api")
	f.until(e.seen(), showing())
	var wg sync.WaitGroup
	for writer := range 4 {
		r, random := registries[writer%len(registries)], rand.New(rand.NewPCG(1, uint64(writer)))
		wg.Go(func() {
			for range 40 {
				ctx, cancel := e.call()
				id := fmt.Sprintf("%d-%d", writer, random.IntN(5))
				name := []string{"api", "api", "web"}[random.IntN(3)]
				var err error
				if random.IntN(3) == 0 {
					err = r.Deregister(ctx, id)
				} else {
					err = r.Register(ctx, at(name, id, 1+random.IntN(100)))
				}
				cancel()
				if err != nil {
					e.Errorf("changing %s: %v", id, err)
					return
				}
				e.pause(time.Millisecond) // so that the watch sees states in between
			}
		})
	}
	wrote := make(chan struct{})
	go func() { wg.Wait(); close(wrote) }()
	for writing := true; writing; { // read along while they write
		_, _, ended := f.next(pollInterval)
		if ended {
			e.Fatal("the watch ended by itself")
		}
		select {
		case <-wrote:
			writing = false
		default:
		}
	}
	e.register(registries[0], instance("api", "last"))
	var truth []registry.ServiceInfo
	e.within(e.lag(), func() error {
		truth = e.discover(registries[0], "api")
		return sameLists(e.discover(registries[len(registries)-1], "api"), truth)
	})
	f.until(e.seen(), func(s registry.Snapshot) error {
		if s.Stale != nil {
			return s.Stale
		}
		return sameLists(s.Instances, truth)
	})
}

func watchPeers(e *env) {
	writer, reader := e.open(), e.open()
	f := subscribeService(e, reader, "api")
	f.until(e.seen(), showing())
	e.register(writer, at("api", "a", 1))
	f.until(e.seen(), onPort(1))
	e.register(writer, at("api", "a", 2))
	f.until(e.seen(), onPort(2))
	e.register(reader, at("api", "a", 3))
	f.until(e.seen(), onPort(3))
	e.deregister(reader, "a")
	f.until(e.seen(), showing())
}
