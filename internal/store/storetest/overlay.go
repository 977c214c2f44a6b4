package storetest

import (
	"github.com/rollcall-sd/rollcall/internal/store"
)

var overlayChecks = []check{
	{name: "PatchOverlay sets and removes members of the overlay", run: patchSets},
	{name: "PatchOverlay repeated changes nothing", run: patchAgain},
	{name: "PatchOverlay needs the ID only", run: patchByID},
	{name: "PatchOverlay of an unknown ID finds nothing", run: patchUnknown},
	{name: "The owner learns of a patch by another with its renewal", needs: owners | leases, run: patchByOther},
	{name: "A patch survives a replacement by the owner", run: patchKept},
}

func (e *env) patch(s store.Store, m store.OverlayPatch) store.PatchResult {
	e.Helper()
	result, err := s.PatchOverlay(e.Context(), m)
	if err != nil {
		e.Fatalf("PatchOverlay of %q: %v", m.ID, err)
	}
	return result
}

func patchSets(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	before := e.full("g").Rev
	f := e.watch("g")
	m := e.patch(e.alpha, store.OverlayPatch{Service: "g", ID: "i", Set: map[string]string{"a": `"x"`, "b": "true"}})
	if !m.Existed || !m.Changed || m.Service != "g" || string(m.Overlay) != `{"a":"x","b":true}` || m.Rev == before {
		e.Errorf("answered with %+v, overlay %s", m, m.Overlay)
	}
	if rec := e.record("g", "i"); string(rec.Overlay) != string(m.Overlay) || rec.RegisteredAt != registeredAt || e.full("g").Rev != m.Rev {
		e.Errorf("it reads as %+v, overlay %s", rec, rec.Overlay)
	}
	f.waitForRev(m.Rev)
	m = e.patch(e.alpha, store.OverlayPatch{Service: "g", ID: "i", Set: map[string]string{"a": ""}})
	if string(m.Overlay) != `{"b":true}` {
		e.Errorf("answered with the overlay %s", m.Overlay)
	}
	m = e.patch(e.alpha, store.OverlayPatch{Service: "g", ID: "i", Set: map[string]string{"b": ""}})
	if rec := e.record("g", "i"); len(m.Overlay) != 0 || len(rec.Overlay) != 0 {
		e.Errorf("overlays %q and %q, want none", m.Overlay, rec.Overlay)
	}
}

func patchAgain(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	set := store.OverlayPatch{Service: "g", ID: "i", Set: map[string]string{"a": "1"}}
	first := e.patch(e.alpha, set)
	if again := e.patch(e.alpha, set); again.Changed || !again.Existed || again.Rev != first.Rev {
		e.Errorf("answered with %+v after %+v", again, first)
	}
}

func patchByID(e *env) {
	for _, id := range []string{"chosen", uuid} {
		e.put(e.alpha, putOf("g", id, "x"))
		if m := e.patch(e.alpha, store.OverlayPatch{ID: id, Set: map[string]string{"a": "1"}}); !m.Existed || m.Service != "g" {
			e.Errorf("%s: answered with %+v", id, m)
		}
	}
}

func patchUnknown(e *env) {
	set := map[string]string{"a": "1"}
	if m := e.patch(e.alpha, store.OverlayPatch{ID: "i", Set: set}); m.Existed {
		e.Errorf("answered with %+v", m)
	}
	e.deregister(e.alpha, "g", "i", e.put(e.alpha, putOf("g", "i", "x")))
	if m := e.patch(e.alpha, store.OverlayPatch{Service: "g", ID: "i", Set: set}); m.Existed {
		e.Errorf("of what was deregistered: %+v", m)
	}
	e.wantIDs("g")
}

func patchByOther(e *env) {
	lease := store.Lease{ID: "i", RegisteredAt: e.put(e.alpha, putOf("g", "i", "x"))}
	e.renew(e.alpha, "g", lease)
	e.patch(e.open("beta"), store.OverlayPatch{ID: "i", Set: map[string]string{"a": "1"}})
	if r := e.renew(e.alpha, "g", lease); string(r.Overlays["i"]) != `{"a":1}` || len(r.Outcomes) != 0 {
		e.Errorf("the owner got %+v", r)
	}
}

func patchKept(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	e.patch(e.alpha, store.OverlayPatch{ID: "i", Set: map[string]string{"a": "1"}})
	if r := e.try(e.alpha, putOf("g", "i", "y")); string(r.Overlay) != `{"a":1}` {
		e.Errorf("the overlay is %q", r.Overlay)
	}
}
