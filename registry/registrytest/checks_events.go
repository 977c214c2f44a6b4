package registrytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

var eventChecks = []check{
	{name: "Events of an unknown service are empty and not nil", needs: backend, run: eventsUnknown},
	{name: "Events have each kind of change, oldest first", needs: backend, run: eventsOfEachKind},
	{name: "Events do not have what changes nothing", needs: backend, run: eventsOfNoChange},
	{name: "Events are the last 100 at least", needs: backend, run: eventsOfManyChanges},
	{name: "Events of a service outlast its instances", needs: backend, run: eventsOutlast},
	{name: "Events of what another registry changed are for all to read", needs: backend | shared, run: eventsOfOthers},
	{name: "Events of a crashed instance say whose it was and when its last heartbeat was", needs: backend | expiry, run: eventsOfACrash},
}

func (e *env) events(b registry.Backend, name string) []registry.Event {
	e.Helper()
	return ask(e, fmt.Sprintf("Events(%q)", name), func(ctx context.Context) ([]registry.Event, error) { return b.Events(ctx, name) })
}

// change runs a call that must succeed.
func (e *env) change(what string, call func(ctx context.Context) error) {
	e.Helper()
	ask(e, what, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
}

// wantEvents compares kinds and IDs, which it takes as "kind ID". Each event has a
// time, in order, and says who made the change.
func (e *env) wantEvents(b registry.Backend, name string, want ...string) []registry.Event {
	e.Helper()
	events := e.events(b, name)
	got := []string{}
	for i, what := range events {
		got = append(got, string(what.Kind)+" "+what.ID)
		if what.By == "" {
			e.Errorf("Events(%q): no By in %+v", name, what)
		}
		if i > 0 && what.Time.Before(events[i-1].Time) || what.Time.IsZero() {
			e.Errorf("Events(%q): the time of %+v is out of order", name, what)
		}
	}
	if !slices.Equal(got, want) {
		e.Fatalf("Events(%q) are %q, want %q", name, got, want)
	}
	return events
}

func eventsUnknown(e *env) {
	if events := e.events(e.openBackend(), "unknown"); events == nil || len(events) > 0 {
		e.Errorf("Events of an unknown service are %#v", events)
	}
}

func eventsOfEachKind(e *env) {
	b := e.openBackend()
	s := instance("api", "a")
	e.register(b, s)
	e.change("SetStatus", func(ctx context.Context) error { return b.SetStatus(ctx, "a", registry.StatusCritical, "disk is full") })
	e.change("Drain", func(ctx context.Context) error { return b.Drain(ctx, "a") })
	e.change("Undrain", func(ctx context.Context) error { return b.Undrain(ctx, "a") })
	s.Port++
	e.register(b, s)
	s.Name = "web"
	e.register(b, s)
	e.register(b, instance("api", "b"))
	e.deregister(b, "b")
	events := e.wantEvents(b, "api",
		"registered a", "status a", "drain a", "undrain a", "replaced a", "moved a", "registered b", "deregistered b")
	if note := events[1].Note; note != "critical: disk is full" {
		e.Errorf("the note of the status is %q", note)
	}
	if note := events[5].Note; note != "web" {
		e.Errorf("the note of the move is %q, want the name of the new service", note)
	}
	e.wantEvents(b, "web", "registered a")
}

func eventsOfNoChange(e *env) {
	b := e.openBackend()
	e.register(b, instance("api", "a"))
	e.register(b, instance("api", "a"))
	e.pause(2 * e.h.Heartbeat)
	e.deregister(b, "unknown")
	e.deregister(b, "a")
	e.deregister(b, "a")
	e.wantEvents(b, "api", "registered a", "deregistered a")
}

func eventsOfManyChanges(e *env) {
	b := e.openBackend()
	s := instance("api", "a")
	for range 150 {
		s.Port++
		e.register(b, s)
	}
	if events := e.events(b, "api"); len(events) < 100 || events[len(events)-100].Kind != registry.EventReplaced {
		e.Errorf("of 150 changes there are %d Events, want the last 100 at least", len(events))
	}
}

func eventsOutlast(e *env) {
	b := e.openBackend()
	e.register(b, instance("api", "a"), instance("web", "w"))
	e.deregister(b, "a")
	e.pause(e.lifetimes(2))
	e.wantEvents(b, "api", "registered a", "deregistered a")
}

func eventsOfOthers(e *env) {
	b, other := e.openBackend(), e.openBackend()
	e.register(b, instance("api", "a"), instance("api", "b"), instance("api", "c"))
	e.deregister(other, "a")
	s := instance("api", "b")
	s.Port++
	e.register(other, s)
	e.register(other, instance("web", "c"))
	want := []string{"registered a", "registered b", "registered c", "deregistered a", "replaced b", "moved c"}
	e.wantEvents(b, "api", want...)
	e.wantEvents(other, "api", want...)
}

func eventsOfACrash(e *env) {
	owner, reader := e.openBackend(), e.openBackend()
	began := e.wallClock(reader)
	e.register(owner, instance("api", "a"))
	e.crash(owner)
	find := func() (expired, registered registry.Event) {
		for _, what := range e.events(reader, "api") {
			switch what.Kind {
			case registry.EventExpired:
				expired = what
			case registry.EventRegistered:
				registered = what
			}
		}
		return expired, registered
	}
	e.within(e.gone(), func() error {
		if expired, _ := find(); expired.ID != "a" {
			return errors.New("Events have no expiry of a")
		}
		return nil
	})
	expired, registered := find()
	if expired.By == "" || expired.By != registered.By {
		e.Errorf("the expiry is by %q, and the registration by %q", expired.By, registered.By)
	}
	note, _ := strings.CutPrefix(expired.Note, "last heartbeat ")
	last, err := time.Parse(time.RFC3339Nano, note)
	if err != nil || last.Before(began) || !last.Before(expired.Time) {
		e.Errorf("the note of the expiry at %v is %q, want when the last heartbeat was", expired.Time, expired.Note)
	}
}

// wallClock returns the backend's time, as the time of an event.
func (e *env) wallClock(b registry.Backend) time.Time {
	e.Helper()
	e.register(b, instance("clock", "clock"))
	events := e.events(b, "clock")
	if len(events) == 0 {
		e.Fatalf("Events have no registration")
	}
	return events[0].Time
}
