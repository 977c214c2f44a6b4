package storetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rollcall-sd/rollcall/internal/store"
)

var renewChecks = []check{
	{name: "Renew of what does not expire is Done", unless: leases, run: renewNothing},
	{name: "Renew extends leases without a visible change", needs: leases, run: renewExtends},
	{name: "Renew names only what is not Done", needs: leases, run: renewNames},
	{name: "Renew of an expired lease is Lost", needs: leases, run: renewExpired},
	{name: "Renew after a put of another still looks at each", needs: leases | owners, run: renewAfterPut},
	{name: "Renew of an unknown service is Lost", needs: leases, run: renewUnknown},
	{name: "Renew of what another deregistered is Deregistered", needs: leases | owners, run: renewDeregistered},
	{name: "Renew returns overlays when something changed", needs: leases, run: renewOverlays},
	{name: "Renew answers for each service", needs: leases, run: renewServices},
	{name: "Renew repeated answers the same", needs: leases, run: renewAgain},
	{name: "Renew with a cached value sees what changed", needs: leases | owners, run: renewCached},
	{name: "Renew keeps odd IDs apart", needs: leases, run: renewOdd},
}

func renewNothing(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	if r := e.renew(e.alpha, "g", store.Lease{ID: "i", RegisteredAt: registeredAt}); len(r.Outcomes) != 0 || r.Overlays != nil {
		e.Errorf("answered with %+v", r)
	}
}

func renewExtends(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	for range 3 { // the first looks at each, later ones at none
		before := e.full("g")
		if r := e.renew(e.alpha, "g", store.Lease{ID: "i", RegisteredAt: registeredAt}); len(r.Outcomes) != 0 {
			e.Fatalf("answered with %+v", r)
		}
		after := e.full("g")
		if after.Rev != before.Rev {
			e.Errorf("the revision went from %s to %s", before.Rev, after.Rev)
		}
		if was, is := find(before, "i").ExpiresAt, find(after, "i").ExpiresAt; is <= was || after.NextExpiry != is {
			e.Errorf("the expiry went from %d to %d, and the earliest is %d", was, is, after.NextExpiry)
		}
	}
}

func renewNames(e *env) {
	good := e.put(e.alpha, putOf("g", "good", "x"))
	gone := e.put(e.alpha, putOf("g", "gone", "x"))
	e.deregister(e.alpha, "g", "gone", gone)
	r := e.renew(e.alpha, "g", store.Lease{ID: "good", RegisteredAt: good}, store.Lease{ID: "gone", RegisteredAt: gone},
		store.Lease{ID: "never", RegisteredAt: good}, store.Lease{ID: "good", RegisteredAt: good})
	want := map[string]store.Outcome{"gone": store.Deregistered, "never": store.Lost}
	if !maps.Equal(r.Outcomes, want) {
		e.Errorf("outcomes %v, want %v", r.Outcomes, want)
	}
}

func renewExpired(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	e.put(e.alpha, putOf("g", "other", "x"))
	before := e.full("g").Rev
	e.backend.Expire("g", "i")
	if r := e.renew(e.alpha, "g", store.Lease{ID: "i", RegisteredAt: registeredAt}); r.Outcomes["i"] != store.Lost {
		e.Errorf("answered with %+v, want Lost", r)
	}
	if after := e.full("g"); after.Rev == before || find(after, "i") != nil {
		e.Errorf("a renewal after the expiry brought it back unseen: revision %s, then %s with %v", before, after.Rev, ids(after))
	}
	e.wantEvidence("g", "i", store.ReasonExpired, registeredAt)
}

func renewUnknown(e *env) {
	if r := e.renew(e.alpha, "g", store.Lease{ID: "i", RegisteredAt: 1}); r.Outcomes["i"] != store.Lost {
		e.Errorf("answered with %+v, want Lost", r)
	}
	if r := e.full("g"); r.Rev != "" {
		e.Errorf("the service has revision %s", r.Rev)
	}
}

func renewDeregistered(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	e.remove(e.open("beta"), store.Removal{ID: "i"})
	for range 2 {
		if r := e.renew(e.alpha, "g", store.Lease{ID: "i", RegisteredAt: registeredAt}); r.Outcomes["i"] != store.Deregistered {
			e.Errorf("answered with %+v, want Deregistered", r)
		}
	}
	e.wantIDs("g")
}

func renewOverlays(e *env) {
	p := putOf("g", "i", "x")
	p.Overlay = []byte(`{"o":1}`)
	registeredAt := e.put(e.alpha, p)
	lease := store.Lease{ID: "i", RegisteredAt: registeredAt}
	e.renew(e.alpha, "g", lease)
	if r := e.renew(e.alpha, "g", lease); r.Overlays != nil {
		e.Errorf("nothing changed, and the overlays are %q", r.Overlays)
	}
	// Whatever is not a write of this owner's moves the revision past the one it knows.
	e.put(e.open("beta"), putOf("g", "other", "x"))
	if r := e.renew(e.alpha, "g", lease); string(r.Overlays["i"]) != `{"o":1}` {
		e.Errorf("after a change, the overlays are %q", r.Overlays)
	}
	if r := e.renew(e.alpha, "g", lease); r.Overlays != nil {
		e.Errorf("nothing changed since, and the overlays are %q", r.Overlays)
	}
}

func renewServices(e *env) {
	var all []store.ServiceLeases
	for i := range 20 {
		name := fmt.Sprint("g", i)
		id := fmt.Sprint("i", i)
		registeredAt := e.put(e.alpha, putOf(name, id, "x"))
		all = append(all, store.ServiceLeases{Service: name, TTL: ttl, Leases: []store.Lease{{ID: id, RegisteredAt: registeredAt + int64(i%2)}}})
	}
	for i, r := range e.alpha.Renew(e.Context(), all) {
		outcome, named := r.Outcomes[fmt.Sprint("i", i)]
		if r.Err != nil || named != (i%2 == 1) || named && outcome != store.Lost {
			e.Errorf("service %d: %+v", i, r)
		}
	}
	if got := e.alpha.Renew(e.Context(), nil); len(got) != 0 {
		e.Errorf("no services were answered with %v", got)
	}
}

func renewAgain(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	for range 3 {
		r := e.renew(e.alpha, "g", store.Lease{ID: "i", RegisteredAt: registeredAt}, store.Lease{ID: "lost", RegisteredAt: 7})
		if len(r.Outcomes) != 1 || r.Outcomes["lost"] != store.Lost {
			e.Errorf("answered with %+v", r)
		}
	}
}

// An owner's last write says nothing about its other leases.
func renewAfterPut(e *env) {
	b := e.open("beta")
	writes := map[string]func(){
		"put":    func() { e.put(e.alpha, putOf("g", "other", "y")) },
		"remove": func() { e.remove(e.alpha, store.Removal{Service: "g", ID: "never", Own: true, RegisteredAt: 1}) },
		"heal":   func() { e.try(e.alpha, reregister(putOf("g", "healed", "y"), 1)) },
	}
	ends := map[string]struct {
		end  func(id string)
		want store.Outcome
	}{
		"removed":    {func(id string) { e.remove(b, store.Removal{ID: id}) }, store.Deregistered},
		"superseded": {func(id string) { e.put(b, putOf("g", id, "b")) }, store.Superseded},
		"expired":    {func(id string) { e.backend.Expire("g", id) }, store.Lost},
	}
	for how, write := range writes {
		for what, c := range ends {
			id := what + how
			lease := store.Lease{ID: id, RegisteredAt: e.put(e.alpha, putOf("g", id, "x"))}
			e.renew(e.alpha, "g", lease)
			c.end(id)
			write()
			if r := e.renew(e.alpha, "g", lease); r.Outcomes[id] != c.want {
				e.Errorf("%s, then a %s by the owner: %+v, want outcome %d", what, how, r, c.want)
			}
			if rec := e.record("g", id); rec != nil && rec.Owner == "alpha" {
				e.Errorf("%s, then a %s by the owner, and the renewal brought it back: %+v", what, how, rec)
			}
		}
	}
}

// renewCached renews the same leases several times, with one CachedValue.
func renewCached(e *env) {
	b := e.open("beta")
	leases := func(ids ...string) store.ServiceLeases {
		g := store.ServiceLeases{Service: "g", TTL: ttl, Cached: new(store.CachedValue)}
		for _, id := range ids {
			g.Leases = append(g.Leases, store.Lease{ID: id, RegisteredAt: e.put(e.alpha, putOf("g", id, "x"))})
		}
		return g
	}
	renew := func(what string, g store.ServiceLeases, want map[string]store.Outcome) {
		e.Helper()
		for range 3 {
			before := e.full("g")
			r := e.alpha.Renew(e.Context(), []store.ServiceLeases{g})[0]
			if r.Err != nil || !maps.Equal(r.Outcomes, want) {
				e.Fatalf("%s: %+v, want %v", what, r, want)
			}
			after := e.full("g")
			for _, rec := range before.Records {
				own := slices.ContainsFunc(g.Leases, func(l store.Lease) bool { return l.ID == rec.ID && l.RegisteredAt == rec.RegisteredAt })
				if now := find(after, rec.ID).ExpiresAt; own != (now > rec.ExpiresAt) {
					e.Fatalf("%s: the expiry of %s, which is own: %v, went from %d to %d", what, rec.ID, own, rec.ExpiresAt, now)
				}
			}
		}
	}
	all := leases("a", "b", "c", "d", "e")
	renew("all", all, nil)
	e.put(b, putOf("g", "another's", "x"))
	renew("beside another's", all, nil)
	some := store.ServiceLeases{Service: "g", TTL: ttl, Cached: new(store.CachedValue), Leases: all.Leases[1:]}
	renew("without one that is no longer wanted", some, nil)
	e.put(b, putOf("g", "b", "taken"))
	renew("one superseded", some, map[string]store.Outcome{"b": store.Superseded})
	e.remove(b, store.Removal{ID: "c"})
	renew("and one deregistered", some, map[string]store.Outcome{"b": store.Superseded, "c": store.Deregistered})
	some = store.ServiceLeases{Service: "g", TTL: ttl, Cached: new(store.CachedValue), Leases: all.Leases[3:]}
	renew("the other two", some, nil)
	e.backend.Expire("g", "d")
	renew("and one of them lost", some, map[string]store.Outcome{"d": store.Lost})
	some = store.ServiceLeases{Service: "g", TTL: ttl, Cached: new(store.CachedValue), Leases: all.Leases[4:]}
	renew("the last", some, nil)
	e.put(e.alpha, putOf("g", "e", "x")) // the same again, which changes nothing but its lease
	renew("the last, registered again", some, nil)
}

func renewOdd(e *env) {
	g := store.ServiceLeases{Service: "g", TTL: ttl, Cached: new(store.CachedValue)}
	want := map[string]store.Outcome{"a\nb": store.Lost, "\x00": store.Lost, "": store.Lost, "\xff\xc3": store.Lost, "b": store.Lost}
	for _, id := range []string{"a", " ", "a b", "名前", "%", "1", strings.Repeat("x", 300)} {
		g.Leases = append(g.Leases, store.Lease{ID: id, RegisteredAt: e.put(e.alpha, putOf("g", id, "x"))})
	}
	for id := range want { // IDs that no user can register
		g.Leases = append(g.Leases, store.Lease{ID: id, RegisteredAt: 1})
	}
	for range 2 {
		if r := e.alpha.Renew(e.Context(), []store.ServiceLeases{g})[0]; r.Err != nil || !maps.Equal(r.Outcomes, want) {
			e.Errorf("answered with %+v", r)
		}
	}
}
