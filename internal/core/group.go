package core

import (
	"errors"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// group is what an engine knows of one group: the truth as of its last read or
// push, the reads under way, and what its watchers are shown.
//
// At most one read is in flight. A caller joins only a read that starts after
// its call. Pushes that arrive during a read wait for it, so that what is older
// than its answer is not applied on top of it.
type group struct {
	e    *Engine
	name string

	mu      sync.Mutex
	truth   truth
	current *flight
	next    *flight
	moving  bool // the last read found a change
	pushed  []store.Notice
	topic   *topic // nil while nobody watches
	readers int    // that hold on to this group, so that it stays in the engine
}

// flight is one read, waited for by any number of callers.
type flight struct {
	start  time.Time
	reason string // of a resync; "" for a caller's read
	done   chan struct{}
	view   View
	err    error
}

// truth is the state of a group at a revision.
type truth struct {
	rev     string
	next    int64 // earliest expiry of a live record, backend's clock
	now     int64 // backend's clock when last heard of
	at      time.Time
	entries map[string]*Entry // all that are part of the revision
	expired map[string]bool   // of those, the ones past their expiry
	sorted  []*Entry          // those that live
	content *Content          // nil until asked for
	// distrust: the backend's clock was set back, so the expiries known are void.
	distrust bool
}

// evidence says why records are gone: by ID, the reason and the latest stamp it covers.
type evidence map[string]store.Tombstone

// covers reports whether a record's end is proven.
func (ev evidence) covers(e *Entry) (store.Reason, bool) {
	t, ok := ev[e.ID]
	return t.Reason, ok && t.Stamp >= e.Stamp
}

// maxIdleGroups bounds the groups kept for readers that do not watch.
const maxIdleGroups = 4096

// group returns the state of a group, which the caller releases.
func (e *Engine) group(name string) *group {
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	g := e.groups[name]
	if g == nil {
		if len(e.groups) >= maxIdleGroups {
			for n, other := range e.groups {
				if other.readers == 0 {
					delete(e.groups, n)
					break
				}
			}
		}
		g = &group{e: e, name: name}
		e.groups[name] = g
	}
	g.readers++
	return g
}

func (e *Engine) release(g *group) {
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	g.readers--
}

// join returns the flight that a caller of now may wait for.
func (g *group) join(reason string) *flight { return g.fly(reason, false) }

// fly is join for a caller that, with here, has nothing else to wait for: the
// read may then be done by its goroutine.
func (g *group) fly(reason string, here bool) *flight {
	g.mu.Lock()
	if g.current != nil {
		if g.next == nil {
			g.next = &flight{reason: reason, done: make(chan struct{})}
		}
		f := g.next
		g.mu.Unlock()
		return f
	}
	f := &flight{reason: reason, done: make(chan struct{})}
	known := g.take(f)
	known.Here = here
	g.mu.Unlock()
	g.e.store.Read(g.name, known, func(r store.Reading, err error) { g.land(f, r, err) })
	return f
}

// take makes f the read in flight. g.mu is held.
func (g *group) take(f *flight) store.Known {
	f.start = time.Now()
	g.current = f
	if g.truth.distrust {
		return store.Known{}
	}
	return store.Known{Rev: g.truth.rev, Next: g.truth.next, Moving: g.moving}
}

// land takes a read's answer and starts the read that waited for it.
func (g *group) land(f *flight, r store.Reading, err error) {
	for {
		g.mu.Lock()
		gap := ""
		if err != nil {
			f.err = err
			g.pushed = nil // the next read answers for them
			g.blind(err)
		} else {
			before := g.truth.rev
			g.moving = r.Kind != store.Same
			g.apply(f, &r)
			if g.topic != nil && f.reason == resyncCheck && before != "" && before != r.Rev && len(g.pushed) == 0 {
				g.topic.unpushed = r.Rev
			}
			gap = g.catchUp()
		}
		f.view = View{Content: g.truth.view(), AsOf: f.start}
		if gap != "" && g.next == nil {
			g.next = &flight{reason: gap, done: make(chan struct{})}
		}
		next := g.next
		g.next, g.current = nil, nil
		var known store.Known
		if next != nil {
			known = g.take(next)
		}
		g.mu.Unlock()
		close(f.done)
		g.e.contact(err)
		if errors.Is(err, store.ErrForeign) {
			g.e.reportBad(g.name, "", err)
		}
		g.e.readEnded(g.name, f, &r, err)
		if next == nil {
			return
		}
		// A store may answer before Read returns: loop instead of growing the stack.
		type answer struct {
			r   store.Reading
			err error
		}
		var mu sync.Mutex
		var got *answer
		returned := false
		g.e.store.Read(g.name, known, func(r store.Reading, err error) {
			mu.Lock()
			if !returned {
				got = &answer{r, err}
				mu.Unlock()
				return
			}
			mu.Unlock()
			g.land(next, r, err)
		})
		mu.Lock()
		returned = true
		a := got
		mu.Unlock()
		if a == nil {
			return
		}
		f, r, err = next, a.r, a.err
	}
}

// apply makes a reading the truth and shows it to the watchers. g.mu is held.
func (g *group) apply(f *flight, r *store.Reading) {
	if r.Kind == store.Delta && f == nil && r.Rev == g.truth.rev {
		return
	}
	at := time.Now()
	jumped := g.truth.now != 0 && r.Now != 0 &&
		time.Duration(r.Now-g.truth.now)*time.Microsecond-at.Sub(g.truth.at) > maxJump
	// A push may have been under way for long; it tells the time only if that is later.
	elapsed := at.Sub(g.truth.at).Microseconds()
	if g.setBack(f, r) {
		g.truth.distrust = true
	}
	if r.Now != 0 && (f != nil || g.truth.now == 0 || r.Now > g.truth.now+elapsed) {
		g.truth.now, g.truth.at = r.Now, at
	}
	before := g.truth.sorted
	gone := g.truth.gone(r)
	var ev evidence
	switch r.Kind {
	case store.Same:
		ev = g.truth.same(r)
	case store.Delta:
		ev = g.truth.delta(g, r)
	default:
		ev = g.truth.full(g, r)
	}
	for _, id := range r.Bad {
		g.e.reportBad(g.name, id, errors.New("not a record that this version can read"))
	}
	if g.topic != nil {
		confirmed := at
		if f != nil {
			confirmed = f.start
		}
		if r.Kind == store.Full {
			gone = before
		}
		g.topic.show(gone, ev, confirmed, at, jumped, f != nil)
	}
}

// setBack reports whether a reading shows that the backend's clock was set
// back. A read's answer is no older than its start.
func (g *group) setBack(f *flight, r *store.Reading) bool {
	if g.truth.now == 0 || r.Now == 0 {
		return false
	}
	least := g.truth.now - maxBack
	if f != nil {
		least += f.start.Sub(g.truth.at).Microseconds()
	}
	return r.Now < least
}

// gone returns the live records that a reading, unless it is full, says have ended.
func (t *truth) gone(r *store.Reading) []*Entry {
	var out []*Entry
	note := func(id string) {
		if e := t.entries[id]; e != nil && !t.expired[id] {
			out = append(out, e)
		}
	}
	for _, b := range r.Buried {
		note(b.ID)
	}
	for _, id := range r.Expired {
		note(id)
	}
	return out
}

// blind notes that a read failed. g.mu is held.
func (g *group) blind(err error) {
	if g.topic != nil && !errors.Is(err, store.ErrClosed) {
		g.topic.lostSight(err)
	}
}

// notified takes a push. It must not block: it runs on the subscription's goroutine.
func (g *group) notified(n store.Notice) {
	g.mu.Lock()
	if g.topic == nil {
		g.mu.Unlock()
		return
	}
	if n.Lost == "" && n.Reading.Kind == store.Full {
		// A store that pushes whole states pushes them in order.
		g.apply(nil, &n.Reading)
		g.mu.Unlock()
		return
	}
	g.topic.unpushed = ""
	reason := n.Lost
	if reason == "" {
		g.pushed = append(g.pushed, n)
		if g.current != nil {
			g.mu.Unlock()
			return
		}
		reason = g.catchUp()
	}
	g.mu.Unlock()
	if reason != "" {
		g.join(reason)
	}
}

// maxPushed bounds the pushes that wait for a read.
const maxPushed = 256

// maxJump is how far the backend's clock may run ahead of one's own before it counts as set.
const maxJump = time.Second

// maxBack is how far, in µs, an answer may lie before an earlier one without the
// clock having been set back: pushes and replies come on different connections.
const maxBack = 1_000_000

// catchUp applies the pushes that follow the truth. It returns the reason to
// read again when some do not. g.mu is held.
func (g *group) catchUp() (gap string) {
	pushed := g.pushed
	g.pushed = nil
	if len(pushed) > maxPushed {
		return resyncGap
	}
	// What came before the revision that was read is part of it.
	for i := len(pushed) - 1; i >= 0; i-- {
		if pushed[i].Reading.Rev == g.truth.rev {
			pushed = pushed[i+1:]
			break
		}
	}
	for i := range pushed {
		if pushed[i].Prev != g.truth.rev {
			return resyncGap
		}
		g.apply(nil, &pushed[i].Reading)
	}
	if g.truth.distrust {
		return resyncGap
	}
	return ""
}

// view returns the content as of now, made once per change.
func (t *truth) view() *Content {
	if t.content == nil {
		var but []string
		for id := range t.expired {
			but = append(but, id)
		}
		sort.Strings(but)
		t.content = &Content{Entries: t.sorted, Revision: number(t.rev, but...)}
	}
	return t.content
}

// same takes a reading that confirmed the revision.
func (t *truth) same(r *store.Reading) evidence {
	t.next = r.Next
	if r.Expired == nil {
		return nil
	}
	return t.expire(r.Expired)
}

// expire sets which records are past their expiry.
func (t *truth) expire(ids []string) evidence {
	if len(ids) == 0 && len(t.expired) == 0 {
		return nil
	}
	changed := len(ids) != len(t.expired)
	now := make(map[string]bool, len(ids))
	ev := make(evidence, len(ids))
	for _, id := range ids {
		if e := t.entries[id]; e != nil {
			now[id] = true
			ev[id] = store.Tombstone{ID: id, Reason: store.Expired, Stamp: e.Stamp, Owner: e.Owner}
			changed = changed || !t.expired[id]
		}
	}
	if changed {
		t.expired = now
		t.sort()
	}
	return ev
}

// sort makes the list of those that live anew.
func (t *truth) sort() {
	t.sorted = make([]*Entry, 0, len(t.entries))
	for id, e := range t.entries {
		if !t.expired[id] {
			t.sorted = append(t.sorted, e)
		}
	}
	slices.SortFunc(t.sorted, compare)
	t.content = nil
}

// delta takes what changed.
func (t *truth) delta(g *group, r *store.Reading) evidence {
	ev := make(evidence, len(r.Buried))
	if t.entries == nil {
		t.entries = make(map[string]*Entry)
	}
	few := len(r.Records)+len(r.Buried) <= 8 && len(t.expired) == 0
	for _, b := range r.Buried {
		ev[b.ID] = b
		if old := t.entries[b.ID]; old != nil {
			delete(t.entries, b.ID)
			if few {
				t.sorted = without(t.sorted, old)
			}
		}
	}
	for _, rec := range r.Records {
		old := t.entries[rec.ID]
		e, ok := g.entry(old, rec)
		if old != nil {
			delete(t.entries, rec.ID)
			if few {
				t.sorted = without(t.sorted, old)
			}
		}
		if !ok {
			continue
		}
		t.entries[rec.ID] = e
		if few {
			t.sorted = insert(t.sorted, e)
		}
		if rec.Expires > 0 && (t.next == 0 || rec.Expires < t.next) {
			t.next = rec.Expires
		}
	}
	t.rev = r.Rev
	t.content = nil
	if r.Next != 0 {
		t.next = r.Next
	}
	if r.Expired == nil {
		// A push says nothing of the others' leases. Every script prunes first, so
		// none of those it did not bury was past its expiry.
		t.expired = nil
	} else {
		t.expired = nil
		for id, tomb := range t.expire(r.Expired) {
			ev[id] = tomb
		}
	}
	if !few {
		t.sort()
	}
	return ev
}

func without(list []*Entry, e *Entry) []*Entry {
	i, ok := slices.BinarySearchFunc(list, e, compare)
	if !ok {
		return list
	}
	out := make([]*Entry, 0, len(list)-1)
	return append(append(out, list[:i]...), list[i+1:]...)
}

// full takes a whole state.
func (t *truth) full(g *group, r *store.Reading) evidence {
	ev := make(evidence, len(r.Buried))
	for _, b := range r.Buried {
		ev[b.ID] = b
	}
	entries := make(map[string]*Entry, len(r.Records))
	same := len(r.Records) == len(t.entries) && len(t.expired) == 0 && r.Rev == t.rev
	for _, rec := range r.Records {
		old := t.entries[rec.ID]
		if e, ok := g.entry(old, rec); ok {
			entries[rec.ID] = e
			same = same && e == old
		}
	}
	t.rev, t.next, t.entries, t.expired, t.distrust = r.Rev, r.Next, entries, nil, false
	if !same {
		t.sort()
	}
	return ev
}

// entry returns the decoded record, the one known already when it is the same.
func (g *group) entry(old *Entry, rec *store.Record) (*Entry, bool) {
	if old != nil && old.Stamp == rec.Stamp && old.Owner == rec.Owner && old.Seq == rec.Seq && string(old.Overlay) == string(rec.Overlay) {
		if g.name == store.Catalog {
			old.TTL = max(old.TTL, rec.TTL)
		}
		return old, true
	}
	if rec.Value != nil {
		return &Entry{Record: rec, Value: rec.Value}, true
	}
	v, err := g.e.cfg.Decode(g.name, rec)
	if err != nil {
		g.e.reportBad(g.name, rec.ID, err)
		return nil, false
	}
	return &Entry{Record: rec, Value: v}, true
}
