package core

import (
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// startCheck starts the one loop that compares all watched services with the
// backend once per heartbeat interval, whatever the pushes say. The store sends
// the reads of one round together.
func (e *Engine) startCheck() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.checkRunning || e.cfg.HeartbeatInterval <= 0 {
		return
	}
	e.checkRunning = e.start(func() {
		for e.sleep(e.ctx, backoff.Jitter(e.cfg.HeartbeatInterval, intervalJitter)) == nil {
			e.checkAll()
		}
	})
}

// checkAll reads all watched services, and renews the watcher leases of them.
func (e *Engine) checkAll() {
	var renew []string
	for _, s := range e.allServices() {
		s.mu.Lock()
		h := s.hub
		if h == nil {
			s.mu.Unlock()
			continue
		}
		missedPush := h.unannounced != ""
		h.unannounced = ""
		confirmed := h.publication.confirmedAt.Load()
		if s.name != store.Catalog {
			h.noteAcknowledged()
			renew = append(renew, s.name)
		}
		s.mu.Unlock()
		if r, ok := e.store.(store.Resubscriber); ok && missedPush {
			r.Resubscribe()
		}
		if confirmed != nil {
			e.cfg.Hooks.SnapshotAge(s.name, time.Since(*confirmed))
		}
		s.sharedRead(ResyncCheck)
	}
	if len(renew) > 0 {
		e.renewWatcherLeases(renew...)
	}
}
