package core

import (
	"maps"
	"slices"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// companion is an engine as its store sees it, when other stores share that store's memory.
type companion Engine

// Decode implements store.Companion.
func (c *companion) Decode(service string, r *store.Record) (any, error) {
	return c.cfg.Decode(service, r)
}

// Recheck implements store.Companion: it renews all registrations, which shows those that
// another owner ended.
func (c *companion) Recheck() {
	e := (*Engine)(c)
	if !e.beginWork() {
		return
	}
	go func() {
		defer e.endWork()
		e.mu.Lock()
		all := slices.Collect(maps.Values(e.owned))
		e.mu.Unlock()
		e.recheck(all)
	}()
}

// Acknowledged implements store.Companion.
func (c *companion) Acknowledged(service string) <-chan struct{} {
	if s := (*Engine)(c).knownService(service); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.hub != nil {
			return s.hub.whenAcknowledged()
		}
	}
	done := make(chan struct{})
	close(done)
	return done
}
