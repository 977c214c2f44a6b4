package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Mark sets parts of an instance's overlay, whatever owner it has. An instance of
// this engine that the backend does not know where this engine has it was moved by
// another owner, or was lost: then it is registered again first.
func (e *Engine) Mark(ctx context.Context, id string, set map[string]string) (store.Marked, error) {
	give := time.Now().Add(patience)
	for {
		if err := e.alive(ctx); err != nil {
			return store.Marked{}, err
		}
		e.mu.Lock()
		own, group := e.owned[id], ""
		if own != nil {
			group = own.group
		}
		e.mu.Unlock()
		marked, err := e.store.Mark(ctx, store.Mark{Group: group, ID: id, Set: set})
		if err == nil && marked.Existed {
			e.mu.Lock()
			if own := e.owned[id]; own != nil && own.group == marked.Group {
				own.overlay = marked.Overlay // known at once to what heals it
			}
			e.mu.Unlock()
		}
		if err != nil || marked.Existed || own == nil || time.Now().After(give) {
			return marked, err
		}
		here, err := e.reregister(ctx, own)
		if err != nil {
			return store.Marked{}, err
		}
		if !here {
			marked, err = e.store.Mark(ctx, store.Mark{ID: id, Set: set})
			if err != nil || marked.Existed {
				return marked, err
			}
		}
	}
}

// reregister writes a registration of this engine again, as it was, before the
// heartbeat does. It reports whether it stands: otherwise another owner has the
// ID, or it was deregistered, or this engine is just registering it.
func (e *Engine) reregister(ctx context.Context, own *registration) (stands bool, err error) {
	keeps := func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.keeps(own)
	}
	if !keeps() {
		return false, nil
	}
	e.mu.Lock()
	put := store.Put{Group: own.group, ID: own.id, Heal: own.stamp > 0, Stamp: own.stamp, TTL: e.cfg.TTL, Beat: e.cfg.Beat,
		Payload: own.payload, Value: own.value, Overlay: own.overlay, Wanted: keeps}
	e.mu.Unlock()
	result := e.store.Put(ctx, []store.Put{put})[0]
	switch {
	case result.Err != nil:
		return false, result.Err
	case result.Outcome == store.Superseded:
		e.drop(own, LossSuperseded)
		return false, nil
	case result.Outcome == store.Buried:
		e.drop(own, LossRemoved)
		return false, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if own.stamp == 0 {
		own.seq, own.stamp = result.Seq, result.Stamp
		e.beats = nil
	}
	return true, nil
}

const (
	// behindFirst and behindMost bound the pauses between two questions of how
	// many watchers are left: short ones at first.
	behindFirst = 5 * time.Millisecond
	behindMost  = 200 * time.Millisecond
	// remarkEvery is how often a wait makes sure that the mark still stands.
	remarkEvery = time.Second
)

// errOtherwise: whoever waits for a mark does not fight over it.
var errOtherwise = errors.New("another has set it otherwise in the meantime")

// MarkAndWait is Mark, and then waits until every process that watches the
// service has taken a state with it. The error of an ended ctx says how many have
// not. If the backend loses its memory meanwhile, the mark is set again, and
// watchers get a heartbeat and a second to be known again.
func (e *Engine) MarkAndWait(ctx context.Context, id string, set map[string]string) (store.Marked, error) {
	marked, err := e.Mark(ctx, id, set)
	if err != nil || !marked.Existed {
		return marked, err
	}
	attending, ok := e.store.(store.Attending)
	if !ok {
		return marked, e.waitTaken(ctx, marked.Group, id, set)
	}
	rev, asked := marked.Rev, time.Now()
	var lost time.Time // when the mark was found missing last
	for pause := behindFirst; ; pause = min(2*pause, behindMost) {
		behind, kept, err := attending.Behind(ctx, marked.Group, rev)
		if err != nil && !errors.Is(err, store.ErrUnavailable) && ctx.Err() == nil {
			return marked, err
		}
		taken := err == nil && behind == 0
		if taken && kept && pause == behindFirst {
			return marked, nil
		}
		if taken || err == nil && (!kept || time.Since(asked) >= remarkEvery) {
			asked = time.Now()
			switch now, err := e.remark(ctx, marked.Group, id, set); {
			case errors.Is(err, errOtherwise):
				return marked, err
			case err != nil:
			case now.Changed:
				rev, lost = now.Rev, time.Now()
			case lost.IsZero() && !now.Existed && now.Rev == "":
				lost = time.Now() // nothing is left of the service
			case taken && (lost.IsZero() || time.Since(lost) > e.cfg.Beat+time.Second):
				return marked, nil
			}
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return marked, waited(ctx, behind, err)
		case <-e.ctx.Done():
			t.Stop()
			return marked, store.ErrClosed
		}
	}
}

// remark sets a mark again if the backend lost it. Changed says that it had to.
func (e *Engine) remark(ctx context.Context, group, id string, set map[string]string) (store.Marked, error) {
	view, err := e.Read(ctx, group)
	if err != nil {
		return store.Marked{}, err
	}
	for _, entry := range view.Entries {
		if entry.ID != id {
			continue
		}
		switch missing, other := compareMark(entry.Overlay, set); {
		case other:
			return store.Marked{}, errOtherwise
		case !missing:
			return store.Marked{Existed: true}, nil
		}
	}
	return e.Mark(ctx, id, set)
}

// compareMark reports whether an overlay lacks some of what a mark set, and
// whether it has another value for some.
func compareMark(overlay []byte, set map[string]string) (missing, other bool) {
	members := map[string]json.RawMessage{}
	_ = json.Unmarshal(overlay, &members) // one that cannot be read has nothing
	for name, value := range set {
		is, ok := members[name]
		missing = missing || !ok
		other = other || ok && string(is) != value
	}
	return missing, other
}

func waited(ctx context.Context, behind int, err error) error {
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
func (e *Engine) waitTaken(ctx context.Context, name, id string, set map[string]string) error {
	e.groupsMu.Lock()
	g := e.groups[name]
	e.groupsMu.Unlock()
	if g == nil {
		return nil
	}
	g.mu.Lock()
	if g.topic == nil {
		g.mu.Unlock()
		return nil
	}
	taken := g.topic.whenTaken()
	g.mu.Unlock()
	otherwise := make(chan struct{}, 1)
	stop := e.store.Watch(name, func(n store.Notice) {
		for _, r := range n.Reading.Records {
			if r.ID != id {
				continue
			}
			if missing, other := compareMark(r.Overlay, set); missing || other {
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
		return errOtherwise
	case <-ctx.Done():
		return waited(ctx, 1, nil)
	case <-e.ctx.Done():
		return store.ErrClosed
	}
}
