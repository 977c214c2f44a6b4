package faults

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

// A healthy Cluster, all calls and moves between services on different nodes.
//
// Promise 12, runs on a Cluster; promise 9: an ID that moves is shown under the
// new name before the old one stops, never under neither.
func TestClusterBasics(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 0)
	cfg := clusterConfig(t, c)
	a, b, reader := open(t, cfg), open(t, cfg), open(t, cfg)

	t.Run("register, watch, deregister", func(t *testing.T) {
		catalog := watchNames(t, reader)
		for _, name := range []string{"web", "db", "mail"} {
			w := watch(t, reader, name)
			at := time.Now()
			register(t, a, name, name+"-1")
			register(t, b, name, name+"-2")
			want := present(t, reader, name)
			inOrder(t, want, name+"-2")
			w.await(t, at, backBy, "both", is(want))
			requireWorking(t, b, reader, w, want)
			register(t, a, name, name+"-1")
			if err := discoversExactly(reader, name, want)(); err != nil {
				t.Errorf("after a renewal: %v", err)
			}
		}
		within(t, time.Now(), backBy, "the catalog", namesAre(reader, catalog, "db", "mail", "web"))
		for _, name := range []string{"db", "mail"} {
			must(t, a.Deregister(t.Context(), name+"-1"))
			must(t, b.Deregister(t.Context(), name+"-2"))
			requireReason(t, reader, name, name+"-1", reason{kind: registry.EventDeregistered, by: pidOf(ownPID)})
		}
		within(t, time.Now(), backBy, "the catalog", namesAre(reader, catalog, "web"))
		if all := present(t, reader, "unknown"); all == nil || len(all) != 0 {
			t.Errorf("an unknown name shows %v", all)
		}
		must(t, a.Deregister(t.Context(), "unknown"))
	})

	t.Run("an ID moves", func(t *testing.T) {
		for _, id := range []string{"mover", "6f3c2c52-33a5-4c0f-8a28-0d2f6a7c1e11"} {
			for n, to := range []*registry.RedisRegistry{a, b, a} {
				for _, name := range []string{"east", "west", "north"} {
					old := map[string]string{"east": "north", "west": "east", "north": "west"}[name]
					never := lookOn(t, reader, id, "east", "west", "north")
					register(t, to, name, id)
					if neither := never(); neither != "" && (n > 0 || name != "east") {
						t.Errorf("round %d: %q moved from %q to %q: %s", n, id, old, name, neither)
					}
					for _, other := range []string{"east", "west", "north"} {
						want := []string{}
						if other == name {
							want = []string{id}
						}
						if err := discovers(reader, other, want...)(); err != nil {
							t.Errorf("round %d: after %q moved to %q: %v", n, id, name, err)
						}
					}
				}
			}
			// The last mover keeps it, heartbeats or not.
			throughout(t, time.Now().Add(shortTTL), "it stays where it is", func() error {
				for _, name := range []string{"east", "west"} {
					if err := discovers(reader, name)(); err != nil {
						return err
					}
				}
				return discovers(reader, "north", id)()
			})
			must(t, a.Deregister(t.Context(), id))
		}
	})

	t.Run("an operator's Deregister", func(t *testing.T) {
		for _, id := range []string{"chosen", ""} {
			m := join(t, a, "web", id)
			w := watch(t, reader, "web")
			at := time.Now()
			must(t, reader.Deregister(t.Context(), m.ID()))
			if err := isGone(b, "web", m.ID())(); err != nil {
				t.Error(err)
			}
			w.await(t, at, backBy, "it is gone", lacking(m.ID()))
			lostWithin(t, m, at, backBy, registry.ErrDeregistered, "Cluster: owner reports an operator's Deregister")
			requireReason(t, b, "web", m.ID(), reason{kind: registry.EventDeregistered, by: pidOf(ownPID), note: pidOf(ownPID)})
			throughout(t, time.Now().Add(shortTTL), "it stays gone", isGone(b, "web", m.ID()))
		}
	})

	t.Run("a newer owner", func(t *testing.T) {
		earlier := join(t, a, "web", "contested")
		at := time.Now()
		later := join(t, b, "mail", "contested")
		lostWithin(t, earlier, at, backBy, registry.ErrSuperseded, "Cluster: earlier owner reports its loss")
		throughout(t, time.Now().Add(shortTTL), "the later keeps it", func() error {
			if err := isGone(reader, "web", "contested")(); err != nil {
				return err
			}
			return discovers(reader, "mail", "contested")()
		})
		notLost(t, later)
		requireReason(t, reader, "web", "contested", reason{kind: registry.EventMoved, by: pidOf(ownPID), note: "mail"})
	})

	t.Run("odd names", func(t *testing.T) {
		must(t, b.Deregister(t.Context(), "contested"))
		for i, namespace := range []string{"prod", "prod:{a}"} {
			cfg := cfg
			cfg.Namespace = namespace
			r := open(t, cfg)
			oddNamesApart(t, r, i)
			checkOddNames(t, r, i, oddNames)
			for _, id := range oddNames[:5] {
				must(t, r.Deregister(t.Context(), id))
			}
			checkOddNames(t, r, i, oddNames[:len(oddNames)-5])
		}
	})
}

// lookOn reads the services in turn until the returned func is called, which
// says when the ID was in none of them.
func lookOn(t testing.TB, r registry.Registry, id string, names ...string) func() string {
	stop := make(chan struct{})
	var looking sync.WaitGroup
	var neither string
	looking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			// The new name is read last: seen in none, it was in neither.
			shown := false
			for _, name := range append(slices.Clone(names), names...) {
				all, err := discover(r, name)
				if err != nil {
					neither = err.Error()
					return
				}
				shown = shown || slices.Contains(idsOf(all), id)
			}
			if !shown {
				neither = "it was in none of them"
			}
		}
	})
	return func() string {
		close(stop)
		looking.Wait()
		return neither
	}
}

// catalogLog records WatchServices.
type catalogLog struct {
	*waittest.Recording[registry.Catalog]
}

func watchNames(t testing.TB, b registry.Backend) catalogLog {
	return catalogLog{waittest.Record(t, b.WatchServices)}
}

// latest returns the newest state, the zero Catalog if there is none.
func (c catalogLog) latest() registry.Catalog {
	last, _ := c.Last()
	return last.State
}

// requireKept fails the test if a state lacks the name, from the first that has it on.
func (c catalogLog) requireKept(t testing.TB, name string) {
	t.Helper()
	shown := false
	for _, seen := range c.All() {
		state := seen.State
		has := slices.Contains(state.Names, name)
		if shown && !has {
			t.Fatalf("false empty: the list of services lacked %q: %q, stale: %v", name, state.Names, state.Stale)
		}
		shown = shown || has
	}
}

// namesAre fails unless Services and the watch of them agree on these names.
func namesAre(b registry.Backend, watched catalogLog, want ...string) func() error {
	return func() error {
		names, err := b.Services(context.Background())
		shown := watched.latest()
		switch {
		case err != nil:
			return err
		case !slices.Equal(names, want):
			return fmt.Errorf("services are %q, want %q", names, want)
		case !slices.Equal(shown.Names, want) || shown.Stale != nil:
			return fmt.Errorf("watched services are %q, stale: %v, want %q", shown.Names, shown.Stale, want)
		}
		return nil
	}
}
