package core

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// heartbeatBatch is what a heartbeat renews: all registrations of the engine, or
// those of some services. heartbeat.go passes it to the store's Renew, which sends it
// in one round trip. Heartbeats share it until a registration changes. Read only.
type heartbeatBatch struct {
	count    int                   // registrations
	leases   []store.ServiceLeases // one per service
	services []*ownedService       // services[i] has the registrations of leases[i]
}

// ownedService is what the engine owns in one service.
type ownedService struct {
	registrations []*registration
	oldestWrite   time.Time // the least of their writtenAt
}

// heartbeatBatch returns the batch of all that the engine owns.
func (e *Engine) heartbeatBatch() *heartbeatBatch {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.batch == nil {
		e.batch = newHeartbeatBatch(maps.Values(e.owned), e.cfg.TTL)
	}
	return e.batch
}

// ownedChanged has the next heartbeat make its batch again. The caller holds e.mu.
func (e *Engine) ownedChanged() { e.batch = nil }

// newHeartbeatBatch returns the batch of registrations. The caller holds Engine.mu.
func newHeartbeatBatch(regs iter.Seq[*registration], ttl time.Duration) *heartbeatBatch {
	services := make(map[string]*ownedService)
	for r := range regs {
		s := services[r.service]
		if s == nil {
			s = &ownedService{oldestWrite: r.writtenAt}
			services[r.service] = s
		}
		s.registrations = append(s.registrations, r)
		if r.writtenAt.Before(s.oldestWrite) {
			s.oldestWrite = r.writtenAt
		}
	}
	b := new(heartbeatBatch)
	for name, s := range services {
		slices.SortFunc(s.registrations, func(a, b *registration) int { return strings.Compare(a.id, b.id) })
		leases := make([]store.Lease, len(s.registrations))
		for i, r := range s.registrations {
			leases[i] = store.Lease{ID: r.id, RegisteredAt: r.registeredAt}
		}
		b.add(store.ServiceLeases{Service: name, TTL: ttl, Leases: leases, Cached: new(store.CachedValue)}, s)
	}
	return b
}

func (b *heartbeatBatch) add(leases store.ServiceLeases, s *ownedService) {
	b.count += len(s.registrations)
	b.leases = append(b.leases, leases)
	b.services = append(b.services, s)
}

// restrictedTo returns the part of the batch that is of certain services.
func (b *heartbeatBatch) restrictedTo(services map[string]bool) *heartbeatBatch {
	part := new(heartbeatBatch)
	for i, leases := range b.leases {
		if services[leases.Service] {
			part.add(leases, b.services[i])
		}
	}
	return part
}
