package core

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
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

	lease      watcherLease
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

// slowFailure: a request that failed after so long timed out, so sight is lost
// for sure; one that failed sooner is tried again before anybody is told.
const slowFailure = 150 * time.Millisecond

var errHeld = errors.New("the backend lost instances or could not be watched; their owners have not registered again yet")

// watch returns the group's topic, shared by all watchers, for release by unwatch.
func (e *Engine) watch(name string) *topic {
	g := e.group(name)
	g.mu.Lock()
	t := g.topic
	first := t == nil
	if first {
		t = &topic{g: g, held: make(map[string]*held)}
		_, attending := e.store.(store.Attending)
		t.lease.needed = attending && e.instant == nil && name != store.Catalog
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
			if t.lease.needed {
				e.attendFirst(g) // and then read
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

// answer is what the backend's answer says beside the state.
type answer struct {
	at        time.Time // of its arrival
	confirmed time.Time // when the state stood for sure
	jumped    bool      // the backend's clock ran ahead
	proven    bool      // what it lacks is known not to have been lost for want of a write
	refused   error     // the backend accepts no write: nothing that it lacks is gone for sure
}

// show takes the truth anew. gone are those that were live before and may not be now.
func (t *topic) show(gone []*Entry, ev evidence, a answer) {
	g := t.g
	blind := a.refused != nil || t.failures > 0 || a.jumped ||
		!t.contact.IsZero() && g.e.cfg.Beat > 0 && g.e.instant == nil && a.at.Sub(t.contact) > g.e.cfg.Beat+time.Second
	if t.contact.IsZero() && t.cur.Load() == nil {
		gone = nil // what an earlier reader saw may be long ago, and no loop was shown it
	}
	since := a.at // no later than that the backend lost what is missing, or answers again
	switch {
	case a.refused != nil:
	case t.failures > 0:
		since = t.failed
		// A read that itself had to wait was answered as soon as the backend could.
		if waited := a.at.Add(-100 * time.Millisecond); a.confirmed.Before(waited) {
			since = maxTime(since, waited)
		}
	case !blind && !t.contact.IsZero():
		since = t.contact
	}
	t.contact, t.away, t.retry = a.at, a.refused, time.Time{}
	if a.refused == nil {
		t.failures = 0
		t.asOf.Store(&a.confirmed)
	} else {
		t.failures++
		t.failed = a.at
		// Each owner's next success is pushed; asking often would only load the server.
		t.retry = a.at.Add(pauseAfter(t.failures, max(retryMost, g.e.cfg.Beat)))
	}
	for _, e := range gone {
		if g.truth.lists(e.ID) || t.held[e.ID] != nil {
			continue // it lives, perhaps as a newer registration
		}
		switch judge(ev.ended(e), blind) {
		case retained:
			t.held[e.ID] = &held{entry: e, until: e.heldUntil(since, a.at), loss: true}
		case doubted:
			t.held[e.ID] = &held{entry: e, until: a.at.Add(doubt)}
		}
	}
	for id, h := range t.held {
		switch over := !a.at.Before(h.until); {
		case g.truth.lists(id):
			delete(t.held, id)
		case judge(ev.ended(h.entry), blind) == dropped:
			delete(t.held, id)
		case blind:
			// The time that owners have begins again.
			h.loss, h.until = true, maxTime(h.until, h.entry.heldUntil(since, a.at))
		case over && a.proven:
			delete(t.held, id)
		}
	}
	t.publish()
	t.schedule()
}

// pauseAfter is how long to wait after so many failed reads, at most longest.
func pauseAfter(failures int, longest time.Duration) time.Duration {
	pause := min(longest, 25*time.Millisecond<<min(failures, 12))
	return pause/2 + rand.N(pause/2+1)
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
	t.retry = time.Now().Add(pauseAfter(t.failures, retryMost))
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
	case t.retains():
		stale = errHeld
	}
	if old == nil && stale == nil && t.failures > 0 {
		return // nothing is known yet, and it is being tried again
	}
	content := t.content()
	if !t.lease.stands() {
		stale = cmp.Or(t.away, t.lease.err)
		if stale == nil {
			if t.lease.failures == 0 { // otherwise it is tried again anyway
				t.g.e.attend(t.g.name)
			}
			return
		}
		if !t.lease.refused {
			content = &Content{Entries: []*Entry{}}
			if old != nil {
				content = old.content
			}
		}
	} else if slices.ContainsFunc(content.Entries, (*Entry).marked) ||
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

// retains reports whether instances are shown that the backend may have lost.
func (t *topic) retains() bool {
	for _, h := range t.held {
		if h.loss {
			return true
		}
	}
	return false
}

// marked reports whether somebody has set something of the record.
func (e *Entry) marked() bool { return len(e.Overlay) > 0 }

// sameStale: that staleness lasts is no change, whatever its latest reason.
func sameStale(a, b error) bool { return (a == nil) == (b == nil) }

// content is the truth with what is held.
func (t *topic) content() *Content {
	g := t.g
	truth := g.truth.view()
	if len(t.held) == 0 {
		return truth
	}
	entries := slices.Clone(truth.Entries)
	shown := make([]string, 0, len(t.held))
	for id, h := range t.held {
		entries = append(entries, h.entry)
		shown = append(shown, id+"\n"+strconv.FormatUint(h.entry.Revision(), 36))
	}
	slices.SortFunc(entries, compare)
	slices.Sort(shown)
	but := append(g.truth.expiredIDs(), "\nretained") // which no ID is
	return &Content{Entries: entries, Revision: number(g.truth.rev, append(but, shown...)...)}
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
