package core

import (
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// resubscriber is a Store whose subscription can be replaced.
type resubscriber interface{ Resubscribe() }

// check starts the one loop that compares all watched groups with the backend
// once per heartbeat, whatever the pushes say. All of them travel together.
func (e *Engine) startCheck() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.checkRunning && e.cfg.HeartbeatInterval > 0 {
		e.checkRunning = e.start(func() {
			for e.sleep(jittered(e.cfg.HeartbeatInterval)) {
				e.checkAll()
			}
		})
	}
}

func (e *Engine) checkAll() {
	var attended []string
	for _, g := range e.allServices() {
		g.mu.Lock()
		t := g.hub
		if t == nil {
			g.mu.Unlock()
			continue
		}
		silent := t.unannounced != ""
		t.unannounced = ""
		at := t.confirmedAt.Load()
		if g.name != store.Catalog {
			t.noteAcknowledged()
			attended = append(attended, g.name)
		}
		g.mu.Unlock()
		if silent {
			if r, ok := e.store.(resubscriber); ok {
				r.Resubscribe()
			}
		}
		if e.cfg.Hooks.SnapshotAge != nil && at != nil {
			e.cfg.Hooks.SnapshotAge(g.name, time.Since(*at))
		}
		g.sharedRead(resyncCheck)
	}
	if len(attended) > 0 {
		e.renewWatcherLeases(attended...)
	}
}

// readEnded reports a read to the hooks, and remembers what no push announced.
func (e *Engine) reportRead(name string, f *pendingRead, r *store.Reading, err error) {
	kind := "full"
	switch r.Kind {
	case store.Unchanged:
		kind = "unchanged"
	case store.Delta:
		kind = "delta"
	}
	if e.cfg.Hooks.Read != nil {
		e.cfg.Hooks.Read(name, kind, time.Since(f.start), err)
	}
	if f.reason != "" && err == nil && (f.reason != resyncCheck || r.Kind != store.Unchanged) {
		e.cfg.Hooks.resync(name, f.reason)
	}
}
