package core

import (
	"hash/fnv"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// knownState returns what a read tells the store that is known already. If the
// service is still at that revision, the store answers Unchanged, and otherwise
// with what changed since. The caller holds s.mu.
func (s *service) knownState(proveAbsence bool) store.KnownState {
	if s.state.expiriesVoid {
		return store.KnownState{ProveAbsence: proveAbsence} // so that the full state comes
	}
	return store.KnownState{Rev: s.state.rev, NextExpiry: s.state.nextExpiry, ProveAbsence: proveAbsence,
		Hints: store.ReadHints{ChangedLast: s.changedLast}}
}

// revisionNumber returns a number for a revision's text, and for what callers are
// shown that differs from it.
func revisionNumber(rev string, differs ...string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(rev))
	for _, text := range differs {
		h.Write([]byte{0})
		h.Write([]byte(text))
	}
	return h.Sum64()
}

// Revision returns a number that changes with each change of the entry.
func (e *Entry) Revision() uint64 {
	h := fnv.New64a()
	h.Write([]byte(e.Owner))
	var b [8]byte
	for i := range b {
		b[i] = byte(e.RegisteredAt >> (8 * i))
	}
	h.Write(b[:])
	h.Write(e.Overlay)
	return h.Sum64()
}
