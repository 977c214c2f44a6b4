package core

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// topic is what the watchers of one group are shown: the truth, and beside it
// the instances that are gone without proof, until their owners had the time to
// register them again. Its fields are guarded by the group's lock unless atomic.
type topic struct {
	g    *group
	refs int
	stop func() // of the store's watch

	cur atomic.Pointer[shown] // nil until the first answer or failure
	// asOf is when the backend last confirmed what is shown.
	asOf atomic.Pointer[time.Time]

	held     map[string]*held
	contact  time.Time // when the backend last answered
	failures int       // reads failed since
	failed   time.Time // when the last of them did
	away     error     // why, once that shows
	retry    time.Time // when to read again while it fails
	unpushed string    // a revision that a check found and no push announced
	timer    *time.Timer

	serial     uint64 // of the latest state shown
	readers    []*reader
	milestones []*milestone // ascending
	following  atomic.Bool  // while there are milestones, and while follow counts
	taken      string       // the latest revision known to be taken by all readers
}

// shown is one state that watchers are handed.
type shown struct {
	serial  uint64
	content *Content
	stale   error
}

// held is an instance that is shown although the backend does not list it.
type held struct {
	entry *Entry
	until time.Time
	// loss: it is gone without proof; otherwise its lease has just run out, and
	// owners that were held up as the backend was get a moment to show up.
	loss bool
}

// doubt is how long an expiry must stand before watchers are told. Owners try
// again at most retryMost apart, so after a short stall of the backend, which
// no reader may have noticed, they are back by then.
const doubt = retryMost + 100*time.Millisecond

// slowFailure: a request that failed after so long timed out, so sight is lost
// for sure; one that failed sooner is tried again before anybody is told.
const slowFailure = 150 * time.Millisecond

var errHeld = errors.New("the backend lost instances or could not be watched; their owners have not registered again yet")

// heldUntil is when an owner has had the time to register again, if the backend
// answers since a moment between since and at. The read that then shows the end
// takes a little, too, but not at the cost of what an owner's next try may take.
func (e *Entry) heldUntil(since, at time.Time) time.Time {
	const read = 200 * time.Millisecond
	return maxTime(since.Add(max(e.TTL, e.Beat+time.Second)-read), at.Add(e.Beat+retryMost))
}

// watch returns the group's topic, shared by all watchers, for release by unwatch.
func (e *Engine) watch(name string) *topic {
	g := e.group(name)
	g.mu.Lock()
	t := g.topic
	first := t == nil
	if first {
		t = &topic{g: g, held: make(map[string]*held)}
		g.topic = t
	}
	t.refs++
	g.mu.Unlock()
	if first {
		stop := e.store.Watch(name, g.notified)
		g.mu.Lock()
		t.stop = stop
		g.mu.Unlock()
		if e.instant == nil {
			e.check()
			if _, ok := e.store.(store.Attending); ok && name != store.Catalog {
				// Nobody reads a state before whoever drains can know of it: the line of
				// the first read waits for this one's answer.
				e.attendFirst(g)
			} else {
				g.join(resyncStart)
			}
		}
	}
	return t
}

// unwatch gives back what watch returned.
func (e *Engine) unwatch(t *topic) {
	g := t.g
	g.mu.Lock()
	t.refs--
	var stop func()
	if t.refs == 0 {
		g.topic = nil
		stop = t.stop
		if t.timer != nil {
			t.timer.Stop()
		}
		if g.name != store.Catalog {
			e.attend(g.name)
		}
	}
	g.mu.Unlock()
	if stop != nil {
		stop()
	}
	e.release(g)
}

// show takes the truth anew. gone are those that were live before and may not
// be now. read: the backend was asked, so holds may end.
func (t *topic) show(gone []*Entry, ev evidence, confirmed, at time.Time, jumped, read bool) {
	g := t.g
	blind := t.failures > 0 || jumped ||
		!t.contact.IsZero() && g.e.cfg.Beat > 0 && g.e.instant == nil && at.Sub(t.contact) > g.e.cfg.Beat+time.Second
	if t.contact.IsZero() {
		gone = nil // what an earlier reader saw may be long ago
	}
	since := at // no later than that the backend lost what is missing, or answers again
	switch {
	case t.failures > 0:
		since = t.failed
		// A read that itself had to wait was answered as soon as the backend could.
		if waited := at.Add(-100 * time.Millisecond); confirmed.Before(waited) {
			since = maxTime(since, waited)
		}
	case !blind && !t.contact.IsZero():
		since = t.contact
	}
	t.contact, t.failures, t.away, t.retry = at, 0, nil, time.Time{}
	t.asOf.Store(&confirmed)
	for _, e := range gone {
		if now := g.truth.entries[e.ID]; now != nil && !g.truth.expired[e.ID] {
			continue // it lives, perhaps as a newer registration
		}
		if t.held[e.ID] != nil {
			continue
		}
		reason, proven := ev.covers(e)
		switch {
		case !proven:
			t.held[e.ID] = &held{entry: e, until: e.heldUntil(since, at), loss: true}
		case reason != store.Expired:
		case blind:
			t.held[e.ID] = &held{entry: e, until: e.heldUntil(since, at), loss: true}
		default:
			t.held[e.ID] = &held{entry: e, until: at.Add(doubt)}
		}
	}
	for id, h := range t.held {
		if now := g.truth.entries[id]; now != nil && !g.truth.expired[id] {
			delete(t.held, id)
			continue
		}
		if reason, proven := ev.covers(h.entry); proven && reason != store.Expired {
			delete(t.held, id)
			continue
		}
		if blind {
			// The time that owners have begins anew.
			h.loss, h.until = true, maxTime(h.until, h.entry.heldUntil(since, at))
			continue
		}
		if read && !at.Before(h.until) {
			delete(t.held, id)
		}
	}
	t.publish()
	t.schedule()
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// lostSight notes a failed read.
func (t *topic) lostSight(err error) {
	t.failures++
	t.failed = time.Now()
	f := t.g.current
	if t.failures > 1 || f == nil || time.Since(f.start) > slowFailure {
		t.away = err
	}
	pause := min(retryMost, 25*time.Millisecond<<min(t.failures, 5))
	t.retry = time.Now().Add(pause/2 + rand.N(pause/2+1))
	t.publish()
	t.schedule()
}

// publish hands watchers what stands now, if it differs from what they have.
func (t *topic) publish() {
	old := t.cur.Load()
	var stale error
	switch {
	case t.away != nil:
		stale = t.away
	case slices.ContainsFunc(t.holds(), func(h *held) bool { return h.loss }):
		stale = errHeld
	}
	if old == nil && stale == nil && t.failures > 0 {
		return // nothing is known yet, and it is being tried again
	}
	content := t.content()
	// Somebody may be waiting, wherever, for what is marked to be taken, or for its end.
	if slices.ContainsFunc(content.Entries, (*Entry).marked) ||
		old != nil && old.content != content && slices.ContainsFunc(old.content.Entries, (*Entry).marked) {
		defer t.follow()
	}
	if old != nil && sameStale(old.stale, stale) {
		if old.content == content || slices.Equal(old.content.Entries, content.Entries) &&
			(len(t.held) > 0 || old.content.Revision == content.Revision) {
			return
		}
	}
	if stale != nil && !errors.Is(stale, store.ErrUnavailable) {
		stale = fmt.Errorf("%w: %w", store.ErrUnavailable, stale)
	}
	t.serial++
	t.cur.Store(&shown{serial: t.serial, content: content, stale: stale})
	t.wake()
}

// marked reports whether somebody has set something of the record.
func (e *Entry) marked() bool { return len(e.Overlay) > 0 }

// sameStale: that staleness lasts is no change, whatever its latest reason.
func sameStale(a, b error) bool { return (a == nil) == (b == nil) }

func (t *topic) holds() []*held {
	out := make([]*held, 0, len(t.held))
	for _, h := range t.held {
		out = append(out, h)
	}
	return out
}

// content is the truth with what is held.
func (t *topic) content() *Content {
	g := t.g
	truth := g.truth.view()
	if len(t.held) == 0 {
		return truth
	}
	entries := slices.Clone(truth.Entries)
	ids := make([]string, 0, len(t.held))
	for id, h := range t.held {
		entries = append(entries, h.entry)
		ids = append(ids, id)
	}
	slices.SortFunc(entries, compare)
	slices.Sort(ids)
	return &Content{Entries: entries, Revision: number(g.truth.rev, append(ids, "held")...)}
}

// schedule sets the timer to the next moment at which to read on one's own: the
// earliest expiry or end of a hold, or the next try.
func (t *topic) schedule() {
	var next time.Time
	consider := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if !t.retry.IsZero() {
		consider(t.retry)
	} else {
		if tr := &t.g.truth; tr.next != 0 {
			consider(tr.at.Add(time.Duration(tr.next-tr.now)*time.Microsecond + time.Millisecond))
		}
		for _, h := range t.held {
			consider(h.until)
		}
	}
	if t.timer != nil {
		t.timer.Stop()
	}
	if next.IsZero() {
		return
	}
	e, g := t.g.e, t.g
	t.timer = time.AfterFunc(max(time.Until(next), time.Millisecond), func() {
		if e.enter() {
			defer e.leave()
			g.join(resyncExpiry)
		}
	})
}

// view is what a watcher is shown.
func (s *shown) view(t *topic) View {
	return View{Content: s.content, AsOf: t.confirmed(), Stale: s.stale, Confirmed: &t.asOf}
}

// confirmed is when the backend last confirmed what is shown; zero before it did.
func (t *topic) confirmed() time.Time {
	if at := t.asOf.Load(); at != nil {
		return *at
	}
	return time.Time{}
}
