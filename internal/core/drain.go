package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	// behindFirst and behindMost bound the pauses between two questions of how
	// many watchers are left: short ones at first.
	minPollPause = 5 * time.Millisecond
	maxPollPause = 200 * time.Millisecond
	// remarkEvery is how often a wait makes sure that the mark still stands.
	verifyInterval = time.Second
)

// errOtherwise: whoever waits for a mark does not fight over it.
var errOverlayChanged = errors.New("another has set it otherwise in the meantime")

// MarkAndWait is Mark, and then waits until every process that watches the
// service has taken a state with it. The error of an ended ctx says how many have
// not. If the backend loses its memory meanwhile, the mark is set again, and
// watchers get a heartbeat and a second to be known again.
func (e *Engine) PatchAndWait(ctx context.Context, id string, set map[string]string) (store.PatchResult, error) {
	marked, err := e.PatchOverlay(ctx, id, set)
	if err != nil || !marked.Existed {
		return marked, err
	}
	attending, ok := e.store.(store.WatcherLeases)
	if !ok {
		return marked, e.waitAcknowledged(ctx, marked.Service, id, set)
	}
	w := drainWait{e: e, service: marked.Service, id: id, set: set, rev: marked.Rev, verifiedAt: time.Now()}
	for pause := minPollPause; ; pause = min(2*pause, maxPollPause) {
		watchers, err := attending.LaggingWatchers(ctx, w.service, id, w.rev)
		if err != nil && !errors.Is(err, store.ErrUnavailable) && ctx.Err() == nil {
			return marked, err
		}
		if err == nil {
			over, err := w.handleAnswer(ctx, watchers)
			if over || err != nil {
				return marked, err
			}
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return marked, waitError(ctx, watchers.Lagging, err)
		case <-e.ctx.Done():
			t.Stop()
			return marked, store.ErrClosed
		}
	}
}

// drainWait is a wait for all watching processes to acknowledge a mark.
type drainWait struct {
	e           *Engine
	service, id string
	set         map[string]string
	rev         string    // at which the mark was set last
	verifiedAt  time.Time // when it was last made sure that it stands

	begun        bool      // an answer has come
	memory       string    // of the backend, as it answered last
	forgotRev    bool      // it answered that it does not remember rev
	unknownUntil time.Time // until when watchers may be unknown to the backend, for it lost its memory
	lastLeaseEnd time.Time // when the last lease of the processes that were lagging ends
}

// answered takes an answer, and reports whether all have acknowledged.
func (w *drainWait) handleAnswer(ctx context.Context, watchers store.Watchers) (over bool, err error) {
	now, first := time.Now(), !w.begun
	w.begun = true
	again := w.e.cfg.HeartbeatInterval + time.Second // by then each watching process is known again
	switch {
	case first && watchers.MemoryLostAgo >= 0 && watchers.MemoryLostAgo < again:
		w.noteLoss(now.Add(again - watchers.MemoryLostAgo))
	case !watchers.RemembersRev && !w.forgotRev, w.memory != "" && watchers.MemoryID != "" && watchers.MemoryID != w.memory:
		// What was lagging when the memory was lost may take until its lease would have ended.
		w.noteLoss(maxTime(now.Add(again), w.lastLeaseEnd))
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
	switch stands, err := w.e.ensurePatched(ctx, w.service, w.id, w.set); {
	case errors.Is(err, errOverlayChanged):
		return false, err
	case err != nil:
		return false, nil
	case stands.Changed:
		if w.rev = stands.Rev; stands.Service != w.service { // it moved
			w.service, w.memory, w.forgotRev = stands.Service, "", false
		}
		w.noteLoss(now.Add(again))
		return false, nil
	}
	return acknowledged && now.After(w.unknownUntil), nil
}

// lost notes that watchers may be unknown to the backend until then.
func (w *drainWait) noteLoss(until time.Time) { w.unknownUntil = maxTime(w.unknownUntil, until) }

// remark sets a mark again if the backend lost it. Changed says that it had to.
func (e *Engine) ensurePatched(ctx context.Context, group, id string, set map[string]string) (store.PatchResult, error) {
	view, err := e.Read(ctx, group)
	if err != nil {
		return store.PatchResult{}, err
	}
	for _, entry := range view.Entries {
		if entry.ID != id {
			continue
		}
		switch missing, other := compareOverlay(entry.Overlay, set); {
		case other:
			return store.PatchResult{}, errOverlayChanged
		case !missing:
			return store.PatchResult{Existed: true}, nil
		}
	}
	return e.PatchOverlay(ctx, id, set)
}

// compareMark reports whether an overlay lacks some of what a mark set, and
// whether it has another value for some.
func compareOverlay(overlay []byte, set map[string]string) (missing, other bool) {
	members := map[string]json.RawMessage{}
	_ = json.Unmarshal(overlay, &members) // one that cannot be read has nothing
	for name, value := range set {
		is, ok := members[name]
		missing = missing || !ok
		other = other || ok && string(is) != value
	}
	return missing, other
}

func waitError(ctx context.Context, behind int, err error) error {
	if err != nil {
		return fmt.Errorf("how many watching processes have not taken it yet is unknown: %w: %w", ctx.Err(), err)
	}
	if behind == 1 {
		return fmt.Errorf("1 watching process has not taken it yet: %w", ctx.Err())
	}
	return fmt.Errorf("%d watching processes have not taken it yet: %w", behind, ctx.Err())
}

// waitTaken waits until this process's readers have taken what stands now. It
// fails with errOtherwise once the mark does not stand any longer.
func (e *Engine) waitAcknowledged(ctx context.Context, name, id string, set map[string]string) error {
	e.servicesMu.Lock()
	g := e.services[name]
	e.servicesMu.Unlock()
	if g == nil {
		return nil
	}
	g.mu.Lock()
	if g.hub == nil {
		g.mu.Unlock()
		return nil
	}
	taken := g.hub.whenAcknowledged()
	g.mu.Unlock()
	otherwise := make(chan struct{}, 1)
	stop := e.store.Watch(name, func(n store.Notice) {
		for _, r := range n.Reading.Records {
			if r.ID != id {
				continue
			}
			if missing, other := compareOverlay(r.Overlay, set); missing || other {
				select {
				case otherwise <- struct{}{}:
				default:
				}
			}
		}
	})
	defer stop()
	select {
	case <-taken:
		return nil
	case <-otherwise:
		return errOverlayChanged
	case <-ctx.Done():
		return waitError(ctx, 1, nil)
	case <-e.ctx.Done():
		return store.ErrClosed
	}
}
