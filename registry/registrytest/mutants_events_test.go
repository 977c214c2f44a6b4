package registrytest

import (
	"context"
	"slices"

	"github.com/rollcall-sd/rollcall/registry"
)

// editsEvents edits what Events returns.
func editsEvents(edit func([]registry.Event) []registry.Event) func() Harness {
	return mutate(func(m *mutated) {
		m.events = func(ctx context.Context, name string) ([]registry.Event, error) {
			events, err := m.ref.Events(ctx, name)
			if err != nil {
				return events, err
			}
			return edit(events), nil
		}
	})
}

// withoutEvents leaves out events of a kind.
func withoutEvents(kind registry.EventKind) func() Harness {
	return editsEvents(func(all []registry.Event) []registry.Event {
		return slices.DeleteFunc(all, func(e registry.Event) bool { return e.Kind == kind })
	})
}

func editsEachEvent(edit func(e *registry.Event)) func() Harness {
	return editsEvents(func(all []registry.Event) []registry.Event {
		for i := range all {
			edit(&all[i])
		}
		return all
	})
}

var eventMutants = []mutant{
	{"Events of an unknown service are empty and not nil", "are []registry.Event(nil)",
		editsEvents(func([]registry.Event) []registry.Event { return nil })},
	{"Events have each kind of change, oldest first", "want", withoutEvents(registry.EventReplaced)},
	{"Events have each kind of change, oldest first", "want", withoutEvents(registry.EventDrain)},
	{"Events have each kind of change, oldest first", "want",
		editsEvents(func(all []registry.Event) []registry.Event { slices.Reverse(all); return all })},
	{"Events have each kind of change, oldest first", "no By", editsEachEvent(func(e *registry.Event) { e.By = "" })},
	{"Events have each kind of change, oldest first", "note of the status", editsEachEvent(func(e *registry.Event) { e.Note = "" })},
	{"Events do not have what changes nothing", "want",
		editsEvents(func(all []registry.Event) []registry.Event { return append(all, all...) })},
	{"Events are the last 100 at least", "want the last 100",
		editsEvents(func(all []registry.Event) []registry.Event { return all[max(0, len(all)-99):] })},
	{"Events of a service outlast its instances", "want", editsEvents(func(all []registry.Event) []registry.Event {
		if len(all) > 0 && all[len(all)-1].Kind == registry.EventDeregistered {
			return nil
		}
		return all
	})},
	{"Events of what another registry changed are for all to read", "want", mutate(func(m *mutated) {
		m.events = func(ctx context.Context, name string) ([]registry.Event, error) {
			events, err := m.ref.Events(ctx, name)
			return slices.DeleteFunc(events, func(e registry.Event) bool { return e.By != m.ref.by }), err
		}
	})},
	{"Events of a crashed instance say whose it was and when its last heartbeat was", "no expiry", withoutEvents(registry.EventExpired)},
	{"Events of a crashed instance say whose it was and when its last heartbeat was", "the expiry is by",
		editsEachEvent(func(e *registry.Event) {
			if e.Kind == registry.EventExpired {
				e.By = "another"
			}
		})},
	{"Events of a crashed instance say whose it was and when its last heartbeat was", "note of the expiry",
		editsEachEvent(func(e *registry.Event) { e.Note = "" })},
}
