package core

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	// attendTimeout bounds one renewal of watcher leases.
	renewWatcherTimeout = 2 * time.Second
	// attendFirstTimeout bounds how long a new watch waits for its lease before it
	// reads all the same, to find out whether the backend is available, and Close
	// for giving leases up.
	firstWatcherLeaseTimeout = 300 * time.Millisecond
)

// attender tells the backend what this process watches and has acknowledged, one
// message at a time. What it says of a service is what holds when it is said, so
// that no earlier message can outlive a later one.
type watcherLeases struct {
	sending chan struct{}   // semaphore of size 1; the holder may send
	ctx     context.Context // of what is sent; it outlasts the engine's until Close gives the leases up
	cancel  context.CancelFunc

	mu       sync.Mutex
	queue    map[string]struct{} // services to be spoken of
	running  bool
	failures int                  // rounds in which some failed, since the last in which none did
	leases   map[string]time.Time // what the backend may hold a lease of, and when the last ends
}

// attend says in the background what this process has acknowledged of these
// services. The caller may hold the lock of a group.
func (e *Engine) renewWatcherLeases(groups ...string) {
	a, ok := e.store.(store.WatcherLeases)
	if !ok {
		return
	}
	at := &e.watcherLeases
	at.mu.Lock()
	defer at.mu.Unlock()
	for _, name := range groups {
		at.queue[name] = struct{}{}
	}
	if at.running || len(at.queue) == 0 || !e.beginWork() {
		return
	}
	at.running = true
	go func() {
		defer e.endWork()
		for groups := at.takeQueue(); len(groups) > 0; groups = at.takeQueue() {
			e.renewWatcherRound(a, renewWatcherTimeout, groups)
		}
	}()
}

// take returns what is to be spoken of; if there is nothing, the caller ends.
func (at *watcherLeases) takeQueue() []string {
	at.mu.Lock()
	defer at.mu.Unlock()
	groups := slices.Collect(maps.Keys(at.queue))
	clear(at.queue)
	at.running = len(groups) > 0
	return groups
}

// attendRound speaks of some services, and again after a pause of those for which that failed.
func (e *Engine) renewWatcherRound(a store.WatcherLeases, limit time.Duration, groups []string) {
	failed := e.renewWatchersNow(a, limit, groups)
	at := &e.watcherLeases
	at.mu.Lock()
	defer at.mu.Unlock()
	if len(failed) == 0 {
		at.failures = 0
		return
	}
	at.failures++
	time.AfterFunc(pauseAfter(at.failures, maxRetryPause), func() { e.renewWatcherLeases(failed...) })
}

// attendNow speaks of some services now. It returns those to be tried again.
func (e *Engine) renewWatchersNow(a store.WatcherLeases, limit time.Duration, groups []string) (failed []string) {
	at := &e.watcherLeases
	ctx, cancel := context.WithTimeout(at.ctx, limit)
	defer cancel()
	start, mine := time.Now(), false
	select {
	case at.sending <- struct{}{}:
		defer func() { <-at.sending }()
		start, mine = time.Now(), true
	case <-ctx.Done():
	}
	if at.ctx.Err() != nil {
		return nil // Close gives all up
	}
	all, topics := make([]store.WatcherLease, len(groups)), make([]*serviceHub, len(groups))
	for i, name := range groups {
		all[i], topics[i] = e.watcherRenewal(name)
	}
	results := make([]store.WatcherLeaseResult, len(groups))
	if mine {
		at.noteSent(all, start.Add(limit))
		results = a.RenewWatcherLeases(ctx, all)
	}
	for i, result := range results {
		if !mine {
			result.Err = fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
		}
		switch t := topics[i]; {
		case t != nil:
			if e.watcherRenewed(t, start, result) {
				failed = append(failed, groups[i])
			}
		case at.released(groups[i], result.Err):
			failed = append(failed, groups[i])
		}
	}
	return failed
}

// sending notes the leases that the backend may hold after a call that ends by then.
func (at *watcherLeases) noteSent(all []store.WatcherLease, by time.Time) {
	at.mu.Lock()
	defer at.mu.Unlock()
	for _, said := range all {
		if said.TTL > 0 {
			at.leases[said.Service] = by.Add(said.TTL)
		}
	}
}

// gaveUp notes how giving a lease up ended. It reports whether to try again:
// until the lease has ended by itself.
func (at *watcherLeases) released(name string, err error) (again bool) {
	at.mu.Lock()
	defer at.mu.Unlock()
	if until, ok := at.leases[name]; ok && err != nil && time.Now().Before(until) {
		return true
	}
	delete(at.leases, name)
	return false
}

// attending is what holds of a service now, and the topic that it is said for.
func (e *Engine) watcherRenewal(name string) (store.WatcherLease, *serviceHub) {
	said := store.WatcherLease{Service: name}
	e.servicesMu.Lock()
	g := e.services[name]
	e.servicesMu.Unlock()
	if g == nil {
		return said, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hub != nil {
		said.TTL, said.Acknowledged = e.cfg.TTL, g.hub.acknowledgedRev
	}
	return said, g.hub
}

// attended notes for a topic how saying it ended. It reports whether to try
// again before the next check.
func (e *Engine) watcherRenewed(t *serviceHub, start time.Time, result store.WatcherLeaseResult) (again bool) {
	g := t.service
	g.mu.Lock()
	if g.hub != t {
		g.mu.Unlock()
		return false // what holds since is said next
	}
	read := t.lease.renewed(start, e.cfg.TTL, result)
	t.publish()
	if !read {
		t.wake() // those that the end of a lease held up
	}
	again = result.Err != nil && !t.lease.denied
	g.mu.Unlock()
	if read {
		g.sharedRead(resyncStart)
	}
	return again
}

// attendFirst takes the watcher lease of a new watch, and has the state read.
func (e *Engine) acquireWatcherLease(g *service) {
	a, ok := e.store.(store.WatcherLeases)
	if !ok || !e.beginWork() {
		return
	}
	go func() {
		defer e.endWork()
		e.renewWatcherRound(a, firstWatcherLeaseTimeout, []string{g.name})
	}()
}

// attendNoMore gives all watcher leases up, so that no drain waits for a process
// that closed its registry, and ends what is under way. If the backend is
// unavailable they end by themselves.
func (e *Engine) releaseWatcherLeases() {
	a, ok := e.store.(store.WatcherLeases)
	if !ok {
		return
	}
	at := &e.watcherLeases
	defer at.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), firstWatcherLeaseTimeout)
	defer cancel()
	// Half of the time is for what is under way: its end may leave nothing to do.
	patient := time.NewTimer(firstWatcherLeaseTimeout / 2)
	defer patient.Stop()
	select {
	case at.sending <- struct{}{}: // for good
	case <-patient.C:
		at.cancel()
		select {
		case at.sending <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
	at.mu.Lock()
	var all []store.WatcherLease
	for name := range at.leases {
		all = append(all, store.WatcherLease{Service: name})
	}
	at.mu.Unlock()
	if len(all) > 0 {
		a.RenewWatcherLeases(ctx, all)
	}
}
