package storetest

import (
	"errors"
	"slices"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// An expiry is evidence only if the backend accepted a write after the end of the lease.
var refusedWriteChecks = []check{
	{name: "While writes are refused an expiry is no evidence", needs: refusesWrites | leases, run: refusedExpiry},
	{name: "While writes are refused the absence of a service is no evidence", needs: refusesWrites | leases, run: refusedAbsence},
	{name: "While writes are refused the catalog drops no service", needs: refusesWrites | leases, run: refusedCatalog},
	{name: "While writes are refused the catalog drops a service whose end a later write proves", needs: refusesWrites | leases | atomicSteps, run: refusedCatalogLater},
	{name: "While writes are refused what has not expired is read as usual", needs: refusesWrites, run: refusedCurrent},
	{name: "While writes are refused a read that must prove an absence says so", needs: refusesWrites, run: refusedProof},
	{name: "A store opens while writes are refused", needs: refusesWrites, run: refusedOpen},
}

// wantRefused requires that a reading says why nothing is proven.
func (e *env) wantRefused(r store.Reading) {
	e.Helper()
	if !errors.Is(r.WritesRefused, store.ErrWritesRefused) || !errors.Is(r.WritesRefused, store.ErrUnavailable) {
		e.Errorf("WritesRefused is %v, want an ErrWritesRefused: %+v", r.WritesRefused, r)
	}
	if _, ok := tombstoneOf(r, "i"); ok || len(r.Expired) > 0 {
		e.Errorf("it says that a lease ended: %+v", r)
	}
}

func refusedExpiry(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	e.put(e.alpha, putOf("g", "j", "x"))
	full := e.full("g")
	e.backend.Expire("g", "i")
	accept := e.backend.RefuseWrites()
	for _, known := range []store.KnownState{{}, {Rev: full.Rev, NextExpiry: 1}, {Rev: full.Rev, NextExpiry: 1, Hints: store.ReadHints{ChangedLast: true}}, {Rev: "17.stranger:1"}} {
		r := e.read(e.alpha, "g", known)
		e.wantRefused(r)
		if r.Kind == store.Full && !slices.Equal(ids(r), []string{"i", "j"}) {
			e.Errorf("a read of %+v lists %q", known, ids(r))
		}
	}
	accept()
	r := e.read(e.alpha, "g", store.KnownState{Rev: full.Rev, NextExpiry: 1})
	if t, ok := tombstoneOf(r, "i"); !ok && !slices.Contains(r.Expired, "i") || ok && t.RegisteredAt != registeredAt || r.WritesRefused != nil {
		e.Errorf("once writes are accepted: %+v", r)
	}
	e.wantIDs("g", "j")
	e.wantEvidence("g", "i", store.ReasonExpired, registeredAt)
}

func refusedAbsence(e *env) {
	defer e.backend.RefuseWrites()()
	for _, known := range []store.KnownState{{}, {Rev: "17.stranger:1"}} {
		e.wantRefused(e.read(e.alpha, "g", known))
	}
}

func refusedCatalog(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	e.put(e.alpha, putOf("h", "k", "x"))
	e.backend.Expire("g", "i")
	e.backend.Expire(store.Catalog, "g")
	accept := e.backend.RefuseWrites()
	r := e.read(e.alpha, store.Catalog, store.KnownState{})
	if !slices.Equal(ids(r), []string{"g", "h"}) || !errors.Is(r.WritesRefused, store.ErrWritesRefused) {
		e.Errorf("the catalog reads as %q, refused: %v", ids(r), r.WritesRefused)
	}
	accept()
	e.wantIDs(store.Catalog, "h")
}

func refusedCatalogLater(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	e.backend.Expire("g", "i")
	e.backend.Expire(store.Catalog, "g")
	e.put(e.alpha, putOf("h", "k", "x"))
	defer e.backend.RefuseWrites()()
	if r := e.read(e.alpha, store.Catalog, store.KnownState{}); !slices.Equal(ids(r), []string{"h"}) || r.WritesRefused != nil {
		e.Errorf("the catalog reads as %q, refused: %v", ids(r), r.WritesRefused)
	}
}

func refusedCurrent(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	full := e.full("g")
	defer e.backend.RefuseWrites()()
	for _, known := range []store.KnownState{{}, {Rev: full.Rev, NextExpiry: full.NextExpiry}} {
		if r := e.read(e.alpha, "g", known); r.WritesRefused != nil || r.Rev != full.Rev {
			e.Errorf("a read of %+v gave %+v", known, r)
		}
	}
	if r := e.alpha.Put(e.Context(), []store.Put{putOf("g", "j", "x")})[0]; !errors.Is(r.Err, store.ErrUnavailable) {
		e.Errorf("a Put that was refused gave %+v", r)
	}
}

func refusedProof(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	full := e.full("g")
	known := store.KnownState{Rev: full.Rev, NextExpiry: full.NextExpiry, ProveAbsence: true}
	if r := e.read(e.alpha, "g", known); r.WritesRefused != nil {
		e.Errorf("while writes are accepted: %+v", r)
	}
	defer e.backend.RefuseWrites()()
	e.wantRefused(e.read(e.alpha, "g", known))
}

func refusedOpen(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	accept := e.backend.RefuseWrites()
	reader := e.open("reader")
	if r := e.read(reader, "g", store.KnownState{}); !slices.Equal(ids(r), []string{"i"}) || r.WritesRefused != nil {
		e.Errorf("it reads %+v", r)
	}
	accept()
	e.put(reader, putOf("g", "j", "x"))
}
