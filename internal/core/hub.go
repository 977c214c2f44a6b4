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
type serviceHub struct {
	service    *service
	refs       int
	stopPushes func() // of the store's watch

	shown atomic.Pointer[shownState] // nil until the first answer or failure
	// asOf is when the backend last confirmed what is shown.
	confirmedAt atomic.Pointer[time.Time]

	retained    map[string]*retainedInstance
	lastAnswer  time.Time // when the backend last answered
	failures    int       // reads failed since
	lastFailure time.Time // when the last of them did
	unavailable error     // why, once that shows
	retryAt     time.Time // when to read again while it fails
	unannounced string    // a revision that a check found and no push announced
	timer       *time.Timer

	lease           watcherLease
	version         uint64 // of the latest state shown
	subscribers     []*subscriber
	barriers        []*barrier  // ascending
	hasBarriers     atomic.Bool // while there are milestones, and while follow counts
	acknowledgedRev string      // the latest revision known to be taken by all readers
}

// shown is one state that watchers are handed.
type shownState struct {
	version uint64
	content *Content
	stale   error
}

// slowFailure: a request that failed after so long timed out, so sight is lost
// for sure; one that failed sooner is tried again before anybody is told.
const slowFailure = 150 * time.Millisecond

var errRetaining = errors.New("the backend lost instances or could not be watched; their owners have not registered again yet")

// watch returns the group's topic, shared by all watchers, for release by unwatch.
func (e *Engine) acquireHub(name string) *serviceHub {
	g := e.acquireService(name)
	g.mu.Lock()
	t := g.hub
	first := t == nil
	if first {
		t = &serviceHub{service: g, retained: make(map[string]*retainedInstance)}
		_, attending := e.store.(store.WatcherLeases)
		t.lease.needed = attending && e.instant == nil && name != store.Catalog
		g.hub = t
	}
	t.refs++
	g.mu.Unlock()
	if first {
		stop := e.store.Watch(name, g.handlePush)
		g.mu.Lock()
		t.stopPushes = stop
		g.mu.Unlock()
		if e.instant == nil {
			e.startCheck()
			if t.lease.needed {
				e.acquireWatcherLease(g) // and then read
			} else {
				g.sharedRead(resyncStart)
			}
		}
	}
	return t
}

// unwatch gives back what watch returned.
func (e *Engine) releaseHub(t *serviceHub) {
	g := t.service
	g.mu.Lock()
	t.refs--
	var stop func()
	if t.refs == 0 {
		g.hub = nil
		stop = t.stopPushes
		if t.timer != nil {
			t.timer.Stop()
		}
		if g.name != store.Catalog {
			e.renewWatcherLeases(g.name)
		}
	}
	g.mu.Unlock()
	if stop != nil {
		stop()
	}
	e.releaseService(g)
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
func (t *serviceHub) update(gone []*Entry, ev evidence, a answer) {
	g := t.service
	blind := a.refused != nil || t.failures > 0 || a.jumped ||
		!t.lastAnswer.IsZero() && g.e.cfg.HeartbeatInterval > 0 && g.e.instant == nil && a.at.Sub(t.lastAnswer) > g.e.cfg.HeartbeatInterval+time.Second
	if t.lastAnswer.IsZero() && t.shown.Load() == nil {
		gone = nil // what an earlier reader saw may be long ago, and no loop was shown it
	}
	since := a.at // no later than that the backend lost what is missing, or answers again
	switch {
	case a.refused != nil:
	case t.failures > 0:
		since = t.lastFailure
		// A read that itself had to wait was answered as soon as the backend could.
		if waited := a.at.Add(-100 * time.Millisecond); a.confirmed.Before(waited) {
			since = maxTime(since, waited)
		}
	case !blind && !t.lastAnswer.IsZero():
		since = t.lastAnswer
	}
	t.lastAnswer, t.unavailable, t.retryAt = a.at, a.refused, time.Time{}
	if a.refused == nil {
		t.failures = 0
		t.confirmedAt.Store(&a.confirmed)
	} else {
		t.failures++
		t.lastFailure = a.at
		// Each owner's next success is pushed; asking often would only load the server.
		t.retryAt = a.at.Add(pauseAfter(t.failures, max(maxRetryPause, g.e.cfg.HeartbeatInterval)))
	}
	for _, e := range gone {
		if g.state.isLive(e.ID) || t.retained[e.ID] != nil {
			continue // it lives, perhaps as a newer registration
		}
		switch judge(ev.reason(e), blind) {
		case retain:
			t.retained[e.ID] = &retainedInstance{entry: e, graceEnd: e.lossGraceEnd(since, a.at), loss: true}
		case wait:
			t.retained[e.ID] = &retainedInstance{entry: e, graceEnd: a.at.Add(expiryGrace)}
		}
	}
	for id, h := range t.retained {
		switch over := !a.at.Before(h.graceEnd); {
		case g.state.isLive(id):
			delete(t.retained, id)
		case judge(ev.reason(h.entry), blind) == drop:
			delete(t.retained, id)
		case blind:
			// The time that owners have begins again.
			h.loss, h.graceEnd = true, maxTime(h.graceEnd, h.entry.lossGraceEnd(since, a.at))
		case over && a.proven:
			delete(t.retained, id)
		}
	}
	t.publish()
	t.scheduleRead()
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
func (t *serviceHub) readFailed(err error) {
	t.failures++
	t.lastFailure = time.Now()
	f := t.service.currentRead
	if t.failures > 1 || f == nil || time.Since(f.start) > slowFailure {
		t.unavailable = err
	}
	t.retryAt = time.Now().Add(pauseAfter(t.failures, maxRetryPause))
	t.publish()
	t.scheduleRead()
}

// publish hands watchers what stands now, if it differs from what they have.
func (t *serviceHub) publish() {
	old := t.shown.Load()
	var stale error
	switch {
	case t.unavailable != nil:
		stale = t.unavailable
	case t.hasLosses():
		stale = errRetaining
	}
	if old == nil && stale == nil && t.failures > 0 {
		return // nothing is known yet, and it is being tried again
	}
	content := t.content()
	if !t.lease.valid() {
		stale = cmp.Or(t.unavailable, t.lease.err)
		if stale == nil {
			if t.lease.failures == 0 { // otherwise it is tried again anyway
				t.service.e.renewWatcherLeases(t.service.name)
			}
			return
		}
		if !t.lease.refused {
			content = &Content{Entries: []*Entry{}}
			if old != nil {
				content = old.content
			}
		}
	} else if slices.ContainsFunc(content.Entries, (*Entry).hasOverlay) ||
		old != nil && old.content != content && slices.ContainsFunc(old.content.Entries, (*Entry).hasOverlay) {
		defer t.addBarrier()
	}
	if old != nil && sameStaleness(old.stale, stale) {
		if old.content == content || slices.Equal(old.content.Entries, content.Entries) &&
			(len(t.retained) > 0 || old.content.Revision == content.Revision) {
			return
		}
	}
	if stale != nil && !errors.Is(stale, store.ErrUnavailable) {
		stale = fmt.Errorf("%w: %w", store.ErrUnavailable, stale)
	}
	t.version++
	t.shown.Store(&shownState{version: t.version, content: content, stale: stale})
	t.wake()
}

// retains reports whether instances are shown that the backend may have lost.
func (t *serviceHub) hasLosses() bool {
	for _, h := range t.retained {
		if h.loss {
			return true
		}
	}
	return false
}

// marked reports whether somebody has set something of the record.
func (e *Entry) hasOverlay() bool { return len(e.Overlay) > 0 }

// sameStale: that staleness lasts is no change, whatever its latest reason.
func sameStaleness(a, b error) bool { return (a == nil) == (b == nil) }

// content is the truth with what is held.
func (t *serviceHub) content() *Content {
	g := t.service
	truth := g.state.content()
	if len(t.retained) == 0 {
		return truth
	}
	entries := slices.Clone(truth.Entries)
	shown := make([]string, 0, len(t.retained))
	for id, h := range t.retained {
		entries = append(entries, h.entry)
		shown = append(shown, id+"\n"+strconv.FormatUint(h.entry.Revision(), 36))
	}
	slices.SortFunc(entries, compareEntries)
	slices.Sort(shown)
	but := append(g.state.expiredIDs(), "\nretained") // which no ID is
	return &Content{Entries: entries, Revision: revisionNumber(g.state.rev, append(but, shown...)...)}
}

// schedule sets the timer to the next moment at which to read on one's own: the
// earliest expiry or end of a hold, or the next try.
func (t *serviceHub) scheduleRead() {
	var next time.Time
	consider := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if !t.retryAt.IsZero() {
		consider(t.retryAt)
	} else {
		if tr := &t.service.state; tr.nextExpiry != 0 {
			consider(tr.backendTimeAt.Add(time.Duration(tr.nextExpiry-tr.backendTime)*time.Microsecond + time.Millisecond))
		}
		for _, h := range t.retained {
			consider(h.graceEnd)
		}
	}
	if t.timer != nil {
		t.timer.Stop()
	}
	if next.IsZero() {
		return
	}
	e, g := t.service.e, t.service
	t.timer = time.AfterFunc(max(time.Until(next), time.Millisecond), func() {
		if e.beginWork() {
			defer e.endWork()
			g.sharedRead(resyncExpiry)
		}
	})
}

// view is what a watcher is shown.
func (s *shownState) view(t *serviceHub) View {
	return View{Content: s.content, AsOf: t.confirmed(), Stale: s.stale, Confirmed: &t.confirmedAt}
}

// confirmed is when the backend last confirmed what is shown; zero before it did.
func (t *serviceHub) confirmed() time.Time {
	if at := t.confirmedAt.Load(); at != nil {
		return *at
	}
	return time.Time{}
}
