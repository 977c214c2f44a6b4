package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// Kinds of events, as they are shown.
const (
	kindStart = "start"
	kindWatch = "watch"
	kindCall  = "call"
	kindKill  = "kill"
	kindLeave = "leave"
	kindNote  = "note"
	kindLog   = "log"
)

// State of an instance, as far as the watch knows it.
const (
	stateStarting = "starting"
	stateListed   = "listed"
	stateLeft     = "left"
	stateExpired  = "expired"
	stateGone     = "gone" // though the demo did not end it
)

// row is what the demo knows about one instance.
type row struct {
	id, address string
	state       string
	ended       string    // kindKill or kindLeave once the demo ended it
	since       time.Time // of the last thing that the demo did to it
	answered    int
	failed      int
	last        string // the result of the last call; empty before the first
	lastOK      bool
}

// board has everything that is shown: it updates the rows and sends events to the
// screen. It is safe for concurrent use.
type board struct {
	start time.Time

	mu      sync.Mutex
	screen  *screen
	rows    []*row // in order of their start
	current registry.Snapshot
	changed chan struct{} // closed and replaced with each change
}

func newBoard(s *screen) *board {
	return &board{start: time.Now(), screen: s, changed: make(chan struct{})}
}

// say shows an event; id may be empty, and so may kind.
func (b *board) say(kind, id, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sayLocked(kind, id, fmt.Sprintf(format, args...))
}

func (b *board) sayLocked(kind, id, text string) {
	b.screen.event(event{time.Since(b.start), kind, id, text}, b.rows)
}

// expect notes that the demo starts an instance.
func (b *board) expect(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = append(b.rows, &row{id: id, state: stateStarting, since: time.Now()})
}

// end notes that the demo ends an instance and how: kindKill or kindLeave.
func (b *board) end(kind, id, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.row(id)
	r.ended, r.since = kind, time.Now()
	b.sayLocked(kind, id, fmt.Sprintf(format, args...))
}

// snapshot records a state that the watch yielded and shows how it differs from the last.
func (b *board) snapshot(s registry.Snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.current
	b.current = s
	if s.Stale != nil && before.Stale == nil {
		b.sayLocked(kindWatch, "", "stale, this is the last known list: "+s.Stale.Error())
	} else if s.Stale == nil && before.Stale != nil {
		b.sayLocked(kindWatch, "", "up to date again")
	}
	listed := map[string]bool{}
	for _, i := range s.Instances {
		listed[i.ID] = true
		r := b.row(i.ID)
		if r == nil {
			continue // of another program in the same namespace
		}
		if r.state != stateListed {
			r.state, r.address = stateListed, i.HostPort()
			b.sayLocked(kindWatch, i.ID, fmt.Sprintf("added: %s, %s after its start", r.address, since(r.since)))
		}
	}
	for _, r := range b.rows {
		if r.state != stateListed || listed[r.id] {
			continue
		}
		switch r.ended {
		case kindKill:
			r.state = stateExpired
			b.sayLocked(kindWatch, r.id, fmt.Sprintf("expired: off the list %s after the kill", since(r.since)))
		case kindLeave:
			r.state = stateLeft
			b.sayLocked(kindWatch, r.id, fmt.Sprintf("left: off the list %s after it was asked to stop", since(r.since)))
		default:
			r.state = stateGone
			b.sayLocked(kindWatch, r.id, "gone from the list")
		}
	}
	b.wake()
}

// call records the result of a call; err is nil if the instance answered.
func (b *board) call(id, answer string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.row(id)
	if r == nil {
		return
	}
	first := r.last == ""
	turned := first || r.lastOK != (err == nil)
	if r.lastOK = err == nil; r.lastOK {
		r.answered++
		r.last = answer
	} else {
		r.failed++
		r.last = shortReason(err)
	}
	if turned && r.lastOK {
		b.sayLocked(kindCall, id, fmt.Sprintf("answers: %q", answer))
	} else if turned {
		b.sayLocked(kindCall, id, "fails: "+r.last)
	}
	b.screen.refresh(b.rows)
	b.wake()
}

// listed returns the instances that the watch listed last.
func (b *board) listed() []registry.ServiceInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current.Instances
}

// await waits until done returns true for the instance's row, for at most d. Its
// errors say what was awaited, or why ctx ended.
func (b *board) await(ctx context.Context, d time.Duration, id, what string, done func(row) bool) error {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	for {
		b.mu.Lock()
		ok, changed, stale := done(*b.row(id)), b.changed, b.current.Stale
		b.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timeout.C:
			if stale != nil {
				return fmt.Errorf("%s was not %s within %v; the watch is stale: %w", id, what, d, stale)
			}
			return fmt.Errorf("%s was not %s within %v", id, what, d)
		}
	}
}

// row returns the instance's row, or nil. The caller holds mu.
func (b *board) row(id string) *row {
	for _, r := range b.rows {
		if r.id == id {
			return r
		}
	}
	return nil
}

// get returns a copy of the row of an instance that was expected.
func (b *board) get(id string) row {
	b.mu.Lock()
	defer b.mu.Unlock()
	return *b.row(id)
}

// wake wakes all calls of await. The caller holds mu.
func (b *board) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// tally shows the calls so far, unless a table shows them.
func (b *board) tally() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.screen.tally(time.Since(b.start), b.rows)
}

// finish shows the final table and text below it.
func (b *board) finish(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.screen.finish(text, b.rows)
}

// since returns the time since t, rounded for reading.
func since(t time.Time) time.Duration {
	d := time.Since(t)
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
