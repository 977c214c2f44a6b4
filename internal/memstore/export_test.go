package memstore

import "github.com/rollcall-sd/rollcall/internal/store"

// Expire sets leases to have just ended.
func (s *Store) Expire(service string, ids ...string) {
	s.m.mu.Lock()
	defer s.m.unlock()
	if service == store.Catalog {
		return // it follows the services
	}
	for _, id := range ids {
		entry := s.m.services[service]
		if record, _ := entry.find(id); record == nil {
			continue
		}
		entry.leases[id].ends = s.m.now() - 1
		entry.nextExpiry = entry.leases[id].ends
	}
}
