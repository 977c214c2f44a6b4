package core

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	// attendTimeout bounds one renewal of leases as a watcher.
	attendTimeout = 2 * time.Second
	// attendFirstTimeout bounds how long a new watch waits for its lease before it
	// reads, and Close for giving leases back.
	attendFirstTimeout = 300 * time.Millisecond
)

// attender tells the backend what this process watches and has taken, one
// message at a time. What it says of a group is what holds when it is said, so
// that no earlier message can outlive a later one.
type attender struct {
	turn chan struct{} // has room for one; who puts something in may speak

	mu      sync.Mutex
	wanted  map[string]struct{} // groups to be spoken of
	running bool
}

// attend says in the background what this process has taken of these groups.
// The caller may hold the lock of a group.
func (e *Engine) attend(groups ...string) {
	a, ok := e.store.(store.Attending)
	if !ok {
		return
	}
	at := &e.attender
	at.mu.Lock()
	defer at.mu.Unlock()
	for _, name := range groups {
		at.wanted[name] = struct{}{}
	}
	if at.running || len(at.wanted) == 0 || !e.enter() {
		return
	}
	at.running = true
	go func() {
		defer e.leave()
		for groups := at.take(); len(groups) > 0; groups = at.take() {
			// Should it fail, the next check says it again.
			_ = e.attendNow(a, attendTimeout, groups)
		}
	}()
}

// take returns what is to be spoken of; if there is nothing, the caller ends.
func (at *attender) take() []string {
	at.mu.Lock()
	defer at.mu.Unlock()
	groups := slices.Collect(maps.Keys(at.wanted))
	clear(at.wanted)
	at.running = len(groups) > 0
	return groups
}

func (e *Engine) attendNow(a store.Attending, limit time.Duration, groups []string) error {
	ctx, cancel := context.WithTimeout(e.ctx, limit)
	defer cancel()
	select {
	case e.attender.turn <- struct{}{}:
		defer func() { <-e.attender.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	all := make([]store.Attendance, len(groups))
	for i, name := range groups {
		all[i] = e.attending(name)
	}
	return a.Attend(ctx, all)
}

// attending is what holds of a group now.
func (e *Engine) attending(name string) store.Attendance {
	said := store.Attendance{Group: name}
	e.groupsMu.Lock()
	g := e.groups[name]
	e.groupsMu.Unlock()
	if g == nil {
		return said
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.topic != nil {
		said.TTL, said.Taken = e.cfg.TTL, g.topic.taken
	}
	return said
}

// attendFirst takes the lease as a watcher, then reads. When the backend is
// away it reads all the same, which then says so.
func (e *Engine) attendFirst(g *group) {
	a, ok := e.store.(store.Attending)
	if !ok || !e.enter() {
		return
	}
	go func() {
		defer e.leave()
		_ = e.attendNow(a, attendFirstTimeout, []string{g.name})
		g.join(resyncStart)
	}()
}

// attendNoMore gives all leases as a watcher back, so that nobody who drains
// waits for a process that closed its registry. If the backend is away they end
// by themselves.
func (e *Engine) attendNoMore() {
	a, ok := e.store.(store.Attending)
	if !ok || e.away() {
		return
	}
	var all []store.Attendance
	for _, g := range e.allGroups() {
		g.mu.Lock()
		if g.topic != nil && g.name != store.Catalog {
			all = append(all, store.Attendance{Group: g.name})
		}
		g.mu.Unlock()
	}
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), attendFirstTimeout)
	defer cancel()
	select {
	case e.attender.turn <- struct{}{}: // for good
		_ = a.Attend(ctx, all)
	case <-ctx.Done():
	}
}
