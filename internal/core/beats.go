package core

import (
	"slices"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// beats is what a beat renews. It is kept from one beat to the next for as long
// as nothing of it changes. Read only.
type beats struct {
	n      int // registrations
	leases []store.GroupLeases
	of     []*ownGroup // what leases[i] are of
}

// ownGroup is what is owned in one group.
type ownGroup struct {
	regs []*registration
	put  time.Time // the earliest of when they were last written in full
}

// todo returns what renews all that is owned.
func (e *Engine) todo() *beats {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.beats != nil {
		return e.beats
	}
	groups := make(map[string]*ownGroup)
	for _, r := range e.owned {
		h := groups[r.group]
		if h == nil {
			h = &ownGroup{put: r.put}
			groups[r.group] = h
		}
		h.regs = append(h.regs, r)
		if r.put.Before(h.put) {
			h.put = r.put
		}
	}
	b := new(beats)
	for name, h := range groups {
		slices.SortFunc(h.regs, func(a, b *registration) int { return strings.Compare(a.id, b.id) })
		leases := make([]store.Lease, len(h.regs))
		for i, r := range h.regs {
			leases[i] = store.Lease{ID: r.id, Stamp: r.stamp}
		}
		b.add(store.GroupLeases{Group: name, TTL: e.cfg.TTL, Leases: leases, Memo: new(store.Memo)}, h)
	}
	e.beats = b
	return b
}

func (b *beats) add(leases store.GroupLeases, h *ownGroup) {
	b.n += len(h.regs)
	b.leases = append(b.leases, leases)
	b.of = append(b.of, h)
}

// in returns what of it renews the named groups.
func (b *beats) in(groups map[string]bool) *beats {
	some := new(beats)
	for i, g := range b.leases {
		if groups[g.Group] {
			some.add(g, b.of[i])
		}
	}
	return some
}
