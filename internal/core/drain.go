package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// lagPauses are the pauses between two questions of how many watching processes lag.
var lagPauses = backoff.Pauses{Min: 10 * time.Millisecond, Max: 200 * time.Millisecond}

// verifyInterval is how often a drain makes sure that its patch is still in the overlay.
const verifyInterval = time.Second

// errOverlayChanged is returned when another caller changed the overlay: a drain
// then gives up.
var errOverlayChanged = errors.New("another caller has set it to another value in the meantime")

// PatchAndWait patches an instance's overlay as PatchOverlay does, and waits until
// every process that watches the service has acknowledged a state with the patch.
// If ctx ends first, the error says how many have not. If the backend loses its
// memory meanwhile, the overlay is patched again, and watching processes get a
// heartbeat interval + 1 s to take their leases again.
func (e *Engine) PatchAndWait(ctx context.Context, patch store.OverlayPatch) (store.PatchResult, error) {
	patched, err := e.PatchOverlay(ctx, patch)
	if err != nil || !patched.Existed {
		return patched, err
	}
	backend, ok := e.store.(interface {
		LaggingWatchers(ctx context.Context, service, id, rev string) (store.Watchers, error)
	})
	if e.local != nil || !ok {
		// The subscribers of this process have no lease.
		if err := e.waitAcknowledged(ctx, patched.Service, patch.ID, patch.Set); err != nil || !ok {
			return patched, err
		}
	}
	w := drainWait{engine: e, service: patched.Service, patch: patch, rev: patched.Rev, verifiedAt: time.Now()}
	lagging := 0 // as of the last answer
	for try := 1; ; try++ {
		watchers, err := backend.LaggingWatchers(ctx, w.service, patch.ID, w.rev)
		if err != nil && !errors.Is(err, store.ErrUnavailable) && ctx.Err() == nil {
			return patched, err
		}
		if err == nil {
			lagging = watchers.Lagging
			if done, err := w.handleAnswer(ctx, watchers); done || err != nil {
				return patched, err
			}
		}
		switch ended := e.sleep(ctx, lagPauses.After(try)); {
		case errors.Is(ended, store.ErrClosed):
			return patched, ended
		case ended != nil:
			if w.answered && errors.Is(err, ended) {
				err = nil // ctx ended during the question: the last answer counts
			}
			return patched, waitError(ended, lagging, err)
		}
	}
}

// drainWait is a wait until all watching processes have acknowledged a patch.
type drainWait struct {
	engine     *Engine
	service    string
	patch      store.OverlayPatch
	rev        string    // of the service, when the overlay was last patched
	verifiedAt time.Time // when the patch was last seen or made

	answered     bool      // an answer has come
	memory       string    // names the backend's memory, as of the last answer
	forgotRev    bool      // the last answer says that the backend does not remember rev
	unknownUntil time.Time // until then the backend may not know of all watching processes
	lastLeaseEnd time.Time // when the last lease of the processes that were lagging ends
}

// handleAnswer takes an answer. It reports whether all have acknowledged.
func (w *drainWait) handleAnswer(ctx context.Context, watchers store.Watchers) (done bool, err error) {
	now, first := time.Now(), !w.answered
	w.answered = true
	// By then each watching process has its lease again.
	leaseAgainTime := w.engine.cfg.HeartbeatInterval + time.Second
	switch {
	case first && watchers.MemoryLostAgo >= 0 && watchers.MemoryLostAgo < leaseAgainTime:
		w.waitUntil(now.Add(leaseAgainTime - watchers.MemoryLostAgo))
	case !watchers.RemembersRev && !w.forgotRev, w.memory != "" && watchers.MemoryID != "" && watchers.MemoryID != w.memory:
		// A process that lagged when the memory was lost may do so until its lease would have ended.
		w.waitUntil(later(now.Add(leaseAgainTime), w.lastLeaseEnd))
	}
	w.forgotRev = !watchers.RemembersRev
	if watchers.MemoryID != "" {
		w.memory = watchers.MemoryID
	}
	w.lastLeaseEnd = now.Add(watchers.LongestLease)
	acknowledged := watchers.Lagging == 0
	if first && acknowledged && w.unknownUntil.IsZero() {
		return true, nil
	}
	if !acknowledged && watchers.RemembersRev && now.Sub(w.verifiedAt) < verifyInterval {
		return false, nil
	}
	w.verifiedAt = now
	switch verified, err := w.engine.ensurePatched(ctx, w.service, w.patch); {
	case errors.Is(err, errOverlayChanged):
		return false, err
	case err != nil:
		return false, nil
	case verified.Changed:
		if w.rev = verified.Rev; verified.Service != w.service { // it moved
			w.service, w.memory, w.forgotRev = verified.Service, "", false
		}
		w.waitUntil(now.Add(leaseAgainTime))
		return false, nil
	}
	return acknowledged && now.After(w.unknownUntil), nil
}

// waitUntil records that the backend may not know of all watching processes before t.
func (w *drainWait) waitUntil(t time.Time) { w.unknownUntil = later(w.unknownUntil, t) }

// ensurePatched patches an overlay again if the backend lost that. Changed in the
// result says that it had to.
func (e *Engine) ensurePatched(ctx context.Context, service string, patch store.OverlayPatch) (store.PatchResult, error) {
	view, err := e.Read(ctx, service)
	if err != nil {
		return store.PatchResult{}, err
	}
	for _, entry := range view.Entries {
		if entry.ID != patch.ID {
			continue
		}
		switch missing, other := compareOverlay(entry.Overlay, patch.Set); {
		case other:
			return store.PatchResult{}, errOverlayChanged
		case !missing:
			return store.PatchResult{Existed: true}, nil
		}
	}
	return e.PatchOverlay(ctx, patch)
}

// compareOverlay reports whether an overlay lacks some member of a patch, and
// whether it has another value for some.
func compareOverlay(overlay []byte, set map[string]string) (missing, other bool) {
	members := map[string]json.RawMessage{}
	_ = json.Unmarshal(overlay, &members) // an overlay that cannot be read has no members
	for name, want := range set {
		value, ok := members[name]
		missing = missing || !ok
		other = other || ok && string(value) != want
	}
	return missing, other
}

// waitError is the error of a drain whose context ended. err is why the last
// question failed, or nil.
func waitError(ended error, lagging int, err error) error {
	if err != nil {
		return fmt.Errorf("how many watching processes have not acknowledged it yet is unknown: %w: %w", ended, err)
	}
	if lagging == 1 {
		return fmt.Errorf("1 watching process has not acknowledged it yet: %w", ended)
	}
	return fmt.Errorf("%d watching processes have not acknowledged it yet: %w", lagging, ended)
}

// waitAcknowledged waits until this process's subscribers have acknowledged the
// current state. It fails with errOverlayChanged once the patch is no longer in the overlay.
func (e *Engine) waitAcknowledged(ctx context.Context, name, id string, set map[string]string) error {
	s := e.knownService(name)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	if s.hub == nil {
		s.mu.Unlock()
		return nil
	}
	acknowledged := s.hub.whenAcknowledged()
	s.mu.Unlock()
	changed := make(chan struct{}, 1)
	stop := e.store.Watch(name, func(n store.Notice) {
		for _, r := range n.Reading.Records {
			if r.ID != id {
				continue
			}
			if missing, other := compareOverlay(r.Overlay, set); missing || other {
				select {
				case changed <- struct{}{}:
				default:
				}
			}
		}
	})
	defer stop()
	select {
	case <-acknowledged:
		return nil
	case <-changed:
		return errOverlayChanged
	case <-ctx.Done():
		return waitError(ctx.Err(), 1, nil)
	case <-e.ctx.Done():
		return store.ErrClosed
	}
}
