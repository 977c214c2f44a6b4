package redisstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// oddIDs equal or resemble the other members of a service's keys.
func oddIDs() []string {
	odd := []string{"rev", "stamp", "seen", "life", "@0", "@127", "+i", "-i", "~i", "+", "-", "~", "inf", "+inf", "-inf", " ",
		"0", "1", "-1", "*", "{g}", "%7Bg%7D", "g", "names", "ids:0", "h", "z", "w", "c"}
	for _, n := range []int{63, 64, 65, 66} {
		odd = append(odd, strings.Repeat("-", n))
	}
	return odd
}

// No ID, service name or owner ID collides with a member that the scripts reserve.
func TestNoIDEqualsAReservedMember(t *testing.T) {
	r := newHarness(t)
	b := r.open("beta")
	for i, id := range oddIDs() {
		service := fmt.Sprint("g", i) // the ID is the first of its service
		stamp := r.put(r.store, putOf(service, id, "x"))[0].RegisteredAt
		if got := r.read(service, "").Records; len(got) != 1 || got[0].ID != id {
			t.Errorf("%q: registered, and the service holds %+v", id, got)
			continue
		}
		if answer := r.renew(service, store.Lease{ID: id, RegisteredAt: stamp}); answer.Err != nil || len(answer.Outcomes) != 0 {
			t.Errorf("%q: the renewal: %+v", id, answer)
		}
		r.put(r.store, putOf(service, "other", "x"))
		if m, err := b.PatchOverlay(t.Context(), store.OverlayPatch{ID: id, Set: map[string]string{"a": "1"}}); err != nil || !m.Existed {
			t.Errorf("%q: the patch: %+v, %v", id, m, err)
		}
		if removed, err := b.Remove(t.Context(), store.Removal{ID: id}); err != nil || !removed.Existed {
			t.Errorf("%q: the removal: %+v, %v", id, removed, err)
		}
		if got := r.read(service, "").Records; len(got) != 1 || got[0].ID != "other" {
			t.Errorf("%q: removed, and the service holds %+v", id, got)
		}
	}
	// The same texts as names of services, with the same ID in each.
	for _, service := range oddIDs() {
		r.put(r.store, putOf(service, "in "+service, "x"))
		if got := r.read(service, "").Records; len(got) != 1 || got[0].ID != "in "+service {
			t.Errorf("service %q holds %+v", service, got)
		}
	}
	var names []string
	for _, rec := range r.read(store.Catalog, "").Records {
		names = append(names, rec.ID)
	}
	for _, service := range oddIDs() {
		if !slices.Contains(names, service) {
			t.Errorf("the catalog lacks %q", service)
		}
	}
}

// An ID that contains the nonce of a call does not count as that call.
func TestNoIDCountsAsACall(t *testing.T) {
	r := newHarness(t)
	b := r.open("beta")
	next := b.seq.Load() + 1
	r.put(r.store, putOf("g", "i", "x"))
	for n := next; n < next+10; n++ {
		r.put(r.store, putOf("g", fmt.Sprintf("1.beta:%d 1.beta:%d ", n, n), "x"))
	}
	r.put(b, putOf("g", "i", "y"))
	for _, rec := range r.read("g", "").Records {
		if rec.ID == "i" && rec.Owner != "beta" {
			t.Errorf("a newer owner's registration passed for one that was sent again: %+v", rec)
		}
	}
	if removed, err := b.Remove(t.Context(), store.Removal{ID: "i"}); err != nil || !removed.Existed {
		t.Errorf("a removal passed for one that was sent again: %+v, %v", removed, err)
	}
}

// Another program's data in the place of one service, of the ID index or of the
// catalog fails only the registrations that need it.
func TestForeignDataFailsOnlyWhatNeedsIt(t *testing.T) {
	const foreign = "another program's"
	generated := generatedID(t)
	cases := map[string]struct {
		moving string // the ID that is to leave "bad"
		owned  bool   // by the one who moves it
		key    func(r *harness) string
		fails  bool
	}{
		"its hash, found by the index":   {"x", false, func(r *harness) string { return r.recordKey("bad", "h") }, true},
		"its hash, known to its owner":   {"x", true, func(r *harness) string { return r.recordKey("bad", "h") }, true},
		"its hash, found by the catalog": {generated, false, func(r *harness) string { return r.recordKey("bad", "h") }, true},
		"the catalog":                    {generated, false, func(r *harness) string { return r.store.keys.catalog }, true},
		"the ID index":                   {"x", false, func(r *harness) string { return r.store.keys.idIndex("x") }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t)
			r.put(r.store, putOf("bad", c.moving, "x"))
			r.do("DEL", c.key(r))
			r.do("SET", c.key(r), foreign)
			var puts []store.Put
			for i := range 100 {
				puts = append(puts, putOf("good", fmt.Sprint("i", i), "x"))
			}
			moving := putOf("good", c.moving, "x")
			if c.owned {
				moving.Hints.PreviousService = "bad"
			}
			puts = slices.Insert(puts, 50, moving)
			for i, result := range r.store.Put(t.Context(), puts) {
				if i == 50 && c.fails {
					if result.Err == nil || !strings.Contains(result.Err.Error(), "another program") {
						t.Errorf("%s left another program's data: %+v", c.moving, result)
					}
					continue
				}
				if result.Err != nil {
					t.Fatalf("%s failed, too: %v", puts[i].ID, result.Err)
				}
			}
			want := 101
			if c.fails {
				want = 100
			}
			if got := r.read("good", "").Records; len(got) != want {
				t.Errorf("%d records, want %d", len(got), want)
			}
			if got := r.admin.Get(t.Context(), c.key(r)).Val(); got != foreign {
				t.Errorf("the other program's data became %q", got)
			}
		})
	}
}
