package storetest

import (
	"github.com/rollcall-sd/rollcall/internal/store"
)

var overlayChecks = []check{
	{name: "Mark sets and takes out members of the overlay", run: markSets},
	{name: "Mark repeated changes nothing", run: markAgain},
	{name: "Mark needs the ID only", run: markAnywhere},
	{name: "Mark of an unknown ID finds nothing", run: markUnknown},
	{name: "Mark by another owner is told to the owner", needs: owners | leases, run: markOther},
	{name: "Mark survives a replacement by its owner", run: markKept},
}

func (e *env) mark(s store.Store, m store.OverlayPatch) store.PatchResult {
	e.Helper()
	marked, err := s.PatchOverlay(e.Context(), m)
	if err != nil {
		e.Fatalf("Mark of %q: %v", m.ID, err)
	}
	return marked
}

func markSets(e *env) {
	stamp := e.put(e.alpha, putOf("g", "i", "x"))
	before := e.full("g").Rev
	f := e.watch("g")
	m := e.mark(e.alpha, store.OverlayPatch{Service: "g", ID: "i", Set: map[string]string{"a": `"x"`, "b": "true"}})
	if !m.Existed || !m.Changed || m.Service != "g" || string(m.Overlay) != `{"a":"x","b":true}` || m.Rev == before {
		e.Errorf("answered with %+v, overlay %s", m, m.Overlay)
	}
	if rec := e.record("g", "i"); string(rec.Overlay) != string(m.Overlay) || rec.RegisteredAt != stamp || e.full("g").Rev != m.Rev {
		e.Errorf("it reads as %+v, overlay %s", rec, rec.Overlay)
	}
	f.waitForRev(m.Rev)
	m = e.mark(e.alpha, store.OverlayPatch{Service: "g", ID: "i", Set: map[string]string{"a": ""}})
	if string(m.Overlay) != `{"b":true}` {
		e.Errorf("answered with the overlay %s", m.Overlay)
	}
	m = e.mark(e.alpha, store.OverlayPatch{Service: "g", ID: "i", Set: map[string]string{"b": ""}})
	if rec := e.record("g", "i"); len(m.Overlay) != 0 || len(rec.Overlay) != 0 {
		e.Errorf("overlays %q and %q, want none", m.Overlay, rec.Overlay)
	}
}

func markAgain(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	set := store.OverlayPatch{Service: "g", ID: "i", Set: map[string]string{"a": "1"}}
	first := e.mark(e.alpha, set)
	if again := e.mark(e.alpha, set); again.Changed || !again.Existed || again.Rev != first.Rev {
		e.Errorf("answered with %+v after %+v", again, first)
	}
}

func markAnywhere(e *env) {
	for _, id := range []string{"chosen", uuid} {
		e.put(e.alpha, putOf("g", id, "x"))
		if m := e.mark(e.alpha, store.OverlayPatch{ID: id, Set: map[string]string{"a": "1"}}); !m.Existed || m.Service != "g" {
			e.Errorf("%s: answered with %+v", id, m)
		}
	}
}

func markUnknown(e *env) {
	set := map[string]string{"a": "1"}
	if m := e.mark(e.alpha, store.OverlayPatch{ID: "i", Set: set}); m.Existed {
		e.Errorf("answered with %+v", m)
	}
	e.deregister(e.alpha, "g", "i", e.put(e.alpha, putOf("g", "i", "x")))
	if m := e.mark(e.alpha, store.OverlayPatch{Service: "g", ID: "i", Set: set}); m.Existed {
		e.Errorf("of what left: %+v", m)
	}
	e.wantIDs("g")
}

func markOther(e *env) {
	lease := store.Lease{ID: "i", RegisteredAt: e.put(e.alpha, putOf("g", "i", "x"))}
	e.renew(e.alpha, "g", lease)
	e.mark(e.open("beta"), store.OverlayPatch{ID: "i", Set: map[string]string{"a": "1"}})
	if r := e.renew(e.alpha, "g", lease); string(r.Overlays["i"]) != `{"a":1}` || len(r.Outcomes) != 0 {
		e.Errorf("the owner learns %+v", r)
	}
}

func markKept(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	e.mark(e.alpha, store.OverlayPatch{ID: "i", Set: map[string]string{"a": "1"}})
	if r := e.try(e.alpha, putOf("g", "i", "y")); string(r.Overlay) != `{"a":1}` {
		e.Errorf("the overlay is %q", r.Overlay)
	}
}
