package storetest

import (
	"errors"
	"slices"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// An expiry is evidence only if the backend accepted a write after the end of the lease.
var refuseChecks = []check{
	{name: "While writes are refused an expiry is no evidence", needs: refuses | leases, run: refusedExpiry},
	{name: "While writes are refused the absence of a group is no evidence", needs: refuses | leases, run: refusedAbsence},
	{name: "While writes are refused the catalog drops no group", needs: refuses | leases, run: refusedCatalog},
	{name: "While writes are refused the catalog drops what a later write shows to be gone", needs: refuses | leases | oneStep, run: refusedCatalogLater},
	{name: "While writes are refused what has not expired is read as ever", needs: refuses, run: refusedCurrent},
	{name: "While writes are refused a read that is to prove an absence says so", needs: refuses, run: refusedProof},
	{name: "A store opens while writes are refused", needs: refuses, run: refusedOpen},
}

// wantRefused requires that a reading says why nothing is proven.
func (e *env) wantRefused(r store.Reading) {
	e.Helper()
	if !errors.Is(r.WritesRefused, store.ErrWritesRefused) || !errors.Is(r.WritesRefused, store.ErrUnavailable) {
		e.Errorf("Refused is %v, want an ErrRefused: %+v", r.WritesRefused, r)
	}
	if _, ok := tomb(r, "i"); ok || len(r.Expired) > 0 {
		e.Errorf("it says that a lease ended: %+v", r)
	}
}

func refusedExpiry(e *env) {
	stamp := e.put(e.a, ask("g", "i", "x"))
	e.put(e.a, ask("g", "j", "x"))
	full := e.full("g")
	e.b.Expire("g", "i")
	accept := e.b.Refuse()
	for _, known := range []store.KnownState{{}, {Rev: full.Rev, NextExpiry: 1}, {Rev: full.Rev, NextExpiry: 1, ChangedLast: true}, {Rev: "17.stranger:1"}} {
		r := e.read(e.a, "g", known)
		e.wantRefused(r)
		if r.Kind == store.Full && !slices.Equal(ids(r), []string{"i", "j"}) {
			e.Errorf("a read of %+v lists %q", known, ids(r))
		}
	}
	accept()
	r := e.read(e.a, "g", store.KnownState{Rev: full.Rev, NextExpiry: 1})
	if t, ok := tomb(r, "i"); !ok && !slices.Contains(r.Expired, "i") || ok && t.RegisteredAt != stamp || r.WritesRefused != nil {
		e.Errorf("once writes are accepted: %+v", r)
	}
	e.wantIDs("g", "j")
	e.wantEvidence("g", "i", store.ReasonExpired, stamp)
}

func refusedAbsence(e *env) {
	defer e.b.Refuse()()
	for _, known := range []store.KnownState{{}, {Rev: "17.stranger:1"}} {
		e.wantRefused(e.read(e.a, "g", known))
	}
}

func refusedCatalog(e *env) {
	e.put(e.a, ask("g", "i", "x"))
	e.put(e.a, ask("h", "k", "x"))
	e.b.Expire("g", "i")
	e.b.Expire(store.Catalog, "g")
	accept := e.b.Refuse()
	r := e.read(e.a, store.Catalog, store.KnownState{})
	if !slices.Equal(ids(r), []string{"g", "h"}) || !errors.Is(r.WritesRefused, store.ErrWritesRefused) {
		e.Errorf("the catalog reads as %q, refused: %v", ids(r), r.WritesRefused)
	}
	accept()
	e.wantIDs(store.Catalog, "h")
}

func refusedCatalogLater(e *env) {
	e.put(e.a, ask("g", "i", "x"))
	e.b.Expire("g", "i")
	e.b.Expire(store.Catalog, "g")
	e.put(e.a, ask("h", "k", "x"))
	defer e.b.Refuse()()
	if r := e.read(e.a, store.Catalog, store.KnownState{}); !slices.Equal(ids(r), []string{"h"}) || r.WritesRefused != nil {
		e.Errorf("the catalog reads as %q, refused: %v", ids(r), r.WritesRefused)
	}
}

func refusedCurrent(e *env) {
	e.put(e.a, ask("g", "i", "x"))
	full := e.full("g")
	defer e.b.Refuse()()
	for _, known := range []store.KnownState{{}, {Rev: full.Rev, NextExpiry: full.NextExpiry}} {
		if r := e.read(e.a, "g", known); r.WritesRefused != nil || r.Rev != full.Rev {
			e.Errorf("a read of %+v gave %+v", known, r)
		}
	}
	if r := e.a.Put(e.Context(), []store.Put{ask("g", "j", "x")})[0]; !errors.Is(r.Err, store.ErrUnavailable) {
		e.Errorf("a Put that was refused gave %+v", r)
	}
}

func refusedProof(e *env) {
	e.put(e.a, ask("g", "i", "x"))
	full := e.full("g")
	known := store.KnownState{Rev: full.Rev, NextExpiry: full.NextExpiry, ProveAbsence: true}
	if r := e.read(e.a, "g", known); r.WritesRefused != nil {
		e.Errorf("while writes are accepted: %+v", r)
	}
	defer e.b.Refuse()()
	e.wantRefused(e.read(e.a, "g", known))
}

func refusedOpen(e *env) {
	e.put(e.a, ask("g", "i", "x"))
	accept := e.b.Refuse()
	reader := e.open("reader")
	if r := e.read(reader, "g", store.KnownState{}); !slices.Equal(ids(r), []string{"i"}) || r.WritesRefused != nil {
		e.Errorf("it reads %+v", r)
	}
	accept()
	e.put(reader, ask("g", "j", "x"))
}
