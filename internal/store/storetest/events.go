package storetest

import (
	"fmt"
	"slices"

	"github.com/rollcall-sd/rollcall/internal/store"
)

var eventChecks = []check{
	{name: "Events have each kind of change, oldest first", needs: remembers, run: eventsOfEachKind},
	{name: "Events of an expiry name the owner", needs: remembers | leases | owners, run: eventsOfExpiry},
	{name: "Events of another owner's change name both", needs: remembers | owners, run: eventsOfOthers},
	{name: "Events of a Remove by ID alone name the caller", needs: remembers | owners, run: eventsOfOperator},
	{name: "Events are of changes only", needs: remembers, run: eventsOfNoChange},
	{name: "Events are the last 100 at least", needs: remembers, run: eventsOfManyChanges},
	{name: "Events of removals outlast the last 100", needs: remembers, run: eventsOfOldRemovals},
	{name: "Events are remembered for a service without records", needs: remembers, run: eventsOfEndedService},
	{name: "Events show both of an expiry and the registration that finds it", needs: remembers | leases, run: eventsInOneStep},
}

// events returns the events of a service in short. All have a time, in order.
func (e *env) events(service string) []store.Event {
	e.Helper()
	events, err := e.alpha.Events(e.Context(), service)
	if err != nil {
		e.Fatalf("Events of %q: %v", service, err)
	}
	last := int64(0)
	for _, what := range events {
		if what.Time < last {
			e.Errorf("%+v comes after an event of %d", what, last)
		}
		last = what.Time
	}
	return events
}

// wantEvents compares all but times.
func (e *env) wantEvents(service string, want ...store.Event) {
	e.Helper()
	got := e.events(service)
	for i := range got {
		got[i].Time, got[i].LastHeartbeat = 0, 0
	}
	if !slices.Equal(got, want) {
		e.Errorf("the events of %q are\n%swant\n%s", service, lines(got), lines(want))
	}
}

func lines(events []store.Event) (out string) {
	for _, e := range events {
		out += fmt.Sprintf("\t%+v\n", e)
	}
	return out
}

// event is an event by the store of an owner.
func event(id string, kind store.EventKind, owner, note string) store.Event {
	return store.Event{ID: id, Kind: kind, By: NameOf(owner), Note: note}
}

func eventsOfEachKind(e *env) {
	e.wantEvents("g")
	e.put(e.alpha, putOf("g", "i", "x"))
	patch := func(kind store.EventKind, value, note string) {
		e.patch(e.alpha, store.OverlayPatch{Service: "g", ID: "i", Set: map[string]string{"a": value}, Kind: kind, Note: note})
	}
	patch(store.EventStatus, "1", "critical: 名 \\ \"no\" answer")
	patch(store.EventDrain, "2", "")
	patch(store.EventUndrain, "3", "")
	e.put(e.alpha, putOf("g", "i", "y"))
	e.put(e.alpha, putOf("h", "i", "y"))
	registeredAt := e.put(e.alpha, putOf("g", "j", "x"))
	e.deregister(e.alpha, "g", "j", registeredAt)
	e.put(e.alpha, putOf("g", "j", "x"))
	e.wantEvents("g",
		event("i", store.EventRegistered, "alpha", ""),
		event("i", store.EventStatus, "alpha", "critical: 名 \\ \"no\" answer"),
		event("i", store.EventDrain, "alpha", ""),
		event("i", store.EventUndrain, "alpha", ""),
		event("i", store.EventReplaced, "alpha", ""),
		event("i", store.EventMoved, "alpha", "h"),
		event("j", store.EventRegistered, "alpha", ""),
		event("j", store.EventDeregistered, "alpha", ""),
		event("j", store.EventRegistered, "alpha", ""),
	)
	e.wantEvents("h", event("i", store.EventRegistered, "alpha", ""))
}

func eventsOfExpiry(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	e.put(e.alpha, putOf("g", "k", "x"))
	b := e.open("beta")
	e.put(b, putOf("g", "j", "x"))
	for _, s := range []string{"i", "j"} { // the second one is the last of its owner
		e.backend.Expire("g", s)
		e.events("g") // finds the first, and renewals the second
		e.renew(e.alpha, "g", store.Lease{ID: "k"})
	}
	e.wantEvents("g",
		event("i", store.EventRegistered, "alpha", ""),
		event("k", store.EventRegistered, "alpha", ""),
		event("j", store.EventRegistered, "beta", ""),
		event("i", store.EventExpired, "alpha", ""),
		event("j", store.EventExpired, "beta", ""),
	)
	for _, what := range e.events("g") {
		if what.Kind == store.EventExpired && what.LastHeartbeat != what.Time-ttl.Microseconds() {
			e.Errorf("%+v: the last heartbeat should be a TTL earlier", what)
		}
	}
}

func eventsOfOthers(e *env) {
	b := e.open("beta")
	e.put(e.alpha, putOf("g", "i", "x"))
	e.put(b, putOf("g", "i", "x"))
	e.put(e.alpha, putOf("g", "j", "x"))
	e.put(b, putOf("h", "j", "x"))
	e.wantEvents("g",
		event("i", store.EventRegistered, "alpha", ""),
		event("i", store.EventReplaced, "beta", NameOf("alpha")),
		event("j", store.EventRegistered, "alpha", ""),
		event("j", store.EventMoved, "beta", "h"),
	)
	e.wantEvents("h", event("j", store.EventRegistered, "beta", ""))
}

func eventsOfOperator(e *env) {
	operator := e.open("operator")
	for _, id := range []string{"i", uuid} {
		e.put(e.alpha, putOf("g", id, "x"))
		e.remove(operator, store.Removal{ID: id})
	}
	e.wantEvents("g",
		event("i", store.EventRegistered, "alpha", ""),
		event("i", store.EventDeregistered, "operator", NameOf("alpha")),
		event(uuid, store.EventRegistered, "alpha", ""),
		event(uuid, store.EventDeregistered, "operator", NameOf("alpha")),
	)
}

func eventsOfNoChange(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	e.put(e.alpha, putOf("g", "i", "x"))
	e.renew(e.alpha, "g", store.Lease{ID: "i", RegisteredAt: registeredAt})
	patch := store.OverlayPatch{ID: "i", Set: map[string]string{"a": "1"}, Kind: store.EventStatus}
	e.patch(e.alpha, patch)
	e.patch(e.alpha, patch)
	e.deregister(e.alpha, "g", "i", registeredAt)
	e.deregister(e.alpha, "g", "i", registeredAt)
	e.remove(e.alpha, store.Removal{ID: "i"})
	e.wantEvents("g",
		event("i", store.EventRegistered, "alpha", ""),
		event("i", store.EventStatus, "alpha", ""),
		event("i", store.EventDeregistered, "alpha", ""),
	)
}

// churn replaces a record so often.
func (e *env) churn(service string, times int) {
	e.Helper()
	for i := range times {
		e.put(e.alpha, putOf(service, "churn", fmt.Sprint(i)))
	}
}

func eventsOfManyChanges(e *env) {
	e.churn("g", 400)
	events := e.events("g")
	if len(events) < 100 || len(events) > 300 {
		e.Errorf("%d events after 400 changes, want at least 100 and no more than twice the log", len(events))
	}
	for _, what := range events {
		if what.Kind != store.EventReplaced || what.ID != "churn" || what.By != NameOf("alpha") {
			e.Fatalf("one of them is %+v", what)
		}
	}
}

func eventsOfOldRemovals(e *env) {
	for range 2 { // the second removal does not hide the first
		registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
		e.deregister(e.alpha, "g", "i", registeredAt)
	}
	e.put(e.alpha, putOf("g", "i", "x"))
	e.put(e.alpha, putOf("h", "i", "x"))
	e.put(e.alpha, putOf("g", "j", "x"))
	e.remove(e.alpha, store.Removal{ID: "j"})
	e.churn("g", 300)
	want := []store.Event{
		event("i", store.EventDeregistered, "alpha", ""), event("i", store.EventDeregistered, "alpha", ""),
		event("i", store.EventMoved, "alpha", "h"), event("j", store.EventDeregistered, "alpha", ""),
	}
	var got []store.Event
	for _, what := range e.events("g") {
		if what.Time = 0; what.ID != "churn" {
			got = append(got, what)
		}
	}
	if !slices.Equal(got, want) {
		e.Errorf("of removals there are\n%swant\n%s", lines(got), lines(want))
	}
}

func eventsOfEndedService(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	e.deregister(e.alpha, "g", "i", registeredAt)
	for n := range 200 { // other services are not confused with it
		e.deregister(e.alpha, fmt.Sprint("h", n), "j", e.put(e.alpha, putOf(fmt.Sprint("h", n), "j", "x")))
	}
	e.wantEvents("g", event("i", store.EventRegistered, "alpha", ""), event("i", store.EventDeregistered, "alpha", ""))
}

func eventsInOneStep(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	e.backend.Expire("g", "i")
	e.put(e.alpha, putOf("g", "i", "y"))
	e.wantEvents("g",
		event("i", store.EventRegistered, "alpha", ""),
		event("i", store.EventExpired, "alpha", ""),
		event("i", store.EventRegistered, "alpha", ""),
	)
}
