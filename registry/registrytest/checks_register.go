package registrytest

import "regexp"

var registerChecks = []check{
	{name: "an empty ID is replaced by a UUID", run: generatedID},
	{name: "a UUID is an ID like any other", run: ownUUID},
	{name: "registering an ID again replaces the instance", run: replaces},
	{name: "registering an ID under another name moves it", run: moves},
	{name: "an identical registration is a renewal", run: renewal},
	{name: "a deregistered instance is gone", run: deregistered},
	{name: "a deregistered instance does not come back by itself", run: staysGone},
	{name: "deregistering an unknown ID is a no-op", run: deregisterUnknown},
}

func generatedID(e *env) {
	r := e.open()
	given := instance("api", "")
	e.register(r, given, given)
	got := e.discover(r, "api")
	if len(got) != 2 {
		e.Fatalf("two registrations without an ID show as %v, want two instances", ids(got))
	}
	for _, s := range got {
		if !uuidForm.MatchString(s.ID) {
			e.Errorf("the generated ID %q is not a UUID", s.ID)
		}
	}
	e.deregister(r, got[0].ID)
	e.lists(r, "api", got[1].ID)
}

// someUUID looks generated, and is the caller's own.
const someUUID = "6f1c3f0e-52ab-4c0e-9d55-0f6b6f1f2a3b"

func ownUUID(e *env) {
	r := e.open()
	e.register(r, at("api", someUUID, 1), at("api", "", 1))
	e.register(r, at("api", someUUID, 2))
	got := e.discover(r, "api")
	if len(got) != 2 || got[1].ID != someUUID || got[1].Port != 2 {
		e.Fatalf("a UUID registered again does not replace its instance: %+v", got)
	}
	generated := got[0].ID
	e.register(r, at("web", generated, 3))
	e.lists(r, "api", someUUID)
	e.lists(r, "web", generated)
	e.deregister(r, generated)
	e.deregister(r, someUUID)
	e.lists(r, "api")
	e.lists(r, "web")
	e.register(r, at("api", someUUID, 4))
	e.lists(r, "api", someUUID)
}

func replaces(e *env) {
	r := e.open()
	e.register(r, at("api", "a", 1), at("api", "b", 1))
	before := e.discover(r, "api")
	changed := at("api", "a", 2)
	changed.Metadata = nil
	e.register(r, changed)
	e.lists(r, "api", "b", "a")
	after := e.discover(r, "api")[1]
	if err := differs(after, changed); err != nil {
		e.Fatalf("after the second registration: %v", err)
	}
	if !after.RegisteredAt.After(before[1].RegisteredAt) {
		e.Fatalf("the replacement's RegisteredAt is %v, not after %v, when the last instance before it registered",
			after.RegisteredAt, before[1].RegisteredAt)
	}
}

func moves(e *env) {
	r := e.open()
	e.register(r, instance("old", "a"), instance("old", "b"))
	before := e.discover(r, "old")[0]
	e.register(r, instance("new", "a"))
	e.lists(r, "old", "b")
	e.lists(r, "new", "a")
	if after := e.one(r, "new"); !after.RegisteredAt.After(before.RegisteredAt) {
		e.Fatalf("after the move RegisteredAt is %v, not after %v", after.RegisteredAt, before.RegisteredAt)
	}
	e.deregister(r, "a")
	e.lists(r, "new")
	e.lists(r, "old", "b")
	e.register(r, instance("new", "a"), instance("old", "a"))
	e.lists(r, "new")
	e.lists(r, "old", "b", "a")
}

func renewal(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"), instance("api", "b"))
	before := e.discover(r, "api")
	again := instance("api", "a")
	again.RegisteredAt = before[1].RegisteredAt.Add(1) // ignored
	e.register(r, again)
	if err := sameLists(e.discover(r, "api"), before); err != nil {
		e.Fatalf("an identical registration changed what Discover shows: %v", err)
	}
	e.deregister(r, "a")
	e.register(r, again)
	if after := e.discover(r, "api"); len(after) != 2 || !after[1].RegisteredAt.After(before[1].RegisteredAt) {
		e.Fatalf("registering after Deregister is no renewal, but it kept its place: %+v", after)
	}
}

func deregistered(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"), instance("api", "b"), instance("web", "c"))
	e.deregister(r, "a")
	e.lists(r, "api", "b")
	e.lists(r, "web", "c")
	e.deregister(r, "b")
	e.lists(r, "api")
	e.register(r, at("api", "a", 9))
	if got := e.one(r, "api"); got.Port != 9 {
		e.Fatalf("registered again after Deregister, the port is %d, want 9", got.Port)
	}
}

func staysGone(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"), instance("api", "b"))
	e.deregister(r, "a")
	e.throughout(e.quiet(), func() error { e.lists(r, "api", "b"); return nil })
}

func deregisterUnknown(e *env) {
	r := e.open()
	e.deregister(r, "unknown")
	e.register(r, instance("api", "a"))
	e.deregister(r, "unknown")
	e.deregister(r, "api")
	e.lists(r, "api", "a")
	e.deregister(r, "a")
	e.deregister(r, "a")
	e.lists(r, "api")
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
