package core

import (
	"slices"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// beats is what a beat renews. It is kept from one beat to the next for as long
// as nothing of it changes. Read only.
type heartbeatBatch struct {
	count    int // registrations
	leases   []store.ServiceLeases
	services []*ownedService // what leases[i] are of
}

// ownGroup is what is owned in one group.
type ownedService struct {
	regs        []*registration
	oldestWrite time.Time // the earliest of when they were last written in full
}

// todo returns what renews all that is owned.
func (e *Engine) heartbeatBatch() *heartbeatBatch {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.batch != nil {
		return e.batch
	}
	groups := make(map[string]*ownedService)
	for _, r := range e.owned {
		h := groups[r.service]
		if h == nil {
			h = &ownedService{oldestWrite: r.writtenAt}
			groups[r.service] = h
		}
		h.regs = append(h.regs, r)
		if r.writtenAt.Before(h.oldestWrite) {
			h.oldestWrite = r.writtenAt
		}
	}
	b := new(heartbeatBatch)
	for name, h := range groups {
		slices.SortFunc(h.regs, func(a, b *registration) int { return strings.Compare(a.id, b.id) })
		leases := make([]store.Lease, len(h.regs))
		for i, r := range h.regs {
			leases[i] = store.Lease{ID: r.id, RegisteredAt: r.registeredAt}
		}
		b.add(store.ServiceLeases{Service: name, TTL: e.cfg.TTL, Leases: leases, Cached: new(store.CachedValue)}, h)
	}
	e.batch = b
	return b
}

func (b *heartbeatBatch) add(leases store.ServiceLeases, h *ownedService) {
	b.count += len(h.regs)
	b.leases = append(b.leases, leases)
	b.services = append(b.services, h)
}

// in returns what of it renews the named groups.
func (b *heartbeatBatch) restrictedTo(groups map[string]bool) *heartbeatBatch {
	some := new(heartbeatBatch)
	for i, g := range b.leases {
		if groups[g.Service] {
			some.add(g, b.services[i])
		}
	}
	return some
}
