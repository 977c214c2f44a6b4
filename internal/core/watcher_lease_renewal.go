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
	// renewWatcherTimeout bounds one renewal of watcher leases.
	renewWatcherTimeout = 2 * time.Second
	// firstWatcherLeaseTimeout bounds how long a new watch waits for its lease. Then
	// it reads nevertheless, to find out whether the backend is available. It also
	// bounds how long Close takes to give the leases up.
	firstWatcherLeaseTimeout = 300 * time.Millisecond
)

// watcherLeases renews this process's watcher leases, one request at a time. A
// renewal says which revision of the service this process has acknowledged when it
// is sent, so that no earlier request can overwrite a later one.
type watcherLeases struct {
	sending chan struct{}   // semaphore of size 1; the holder may send
	ctx     context.Context // of requests; it outlasts the engine's until Close has given the leases up
	cancel  context.CancelFunc

	mu       sync.Mutex
	queue    map[string]struct{} // services whose lease is to be renewed or given up
	running  bool
	failures int                  // rounds with a failure since the last without one
	leases   map[string]time.Time // by service: when the last lease that the backend may have ends
}

func (w *watcherLeases) init() {
	w.sending = make(chan struct{}, 1)
	w.queue = make(map[string]struct{})
	w.leases = make(map[string]time.Time)
	w.ctx, w.cancel = context.WithCancel(context.Background())
}

// renewWatcherLeases renews, in the background, the watcher leases of services,
// or gives them up if there is no watch. The caller may hold a service's lock.
func (e *Engine) renewWatcherLeases(services ...string) {
	backend, ok := e.store.(store.WatcherLeases)
	if !ok {
		return
	}
	w := &e.watcherLeases
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range services {
		w.queue[name] = struct{}{}
	}
	if w.running || len(w.queue) == 0 || !e.beginWork() {
		return
	}
	w.running = true
	go func() {
		defer e.endWork()
		for services := w.takeQueue(); len(services) > 0; services = w.takeQueue() {
			e.renewWatcherRound(backend, renewWatcherTimeout, services)
		}
	}()
}

// acquireWatcherLease takes the watcher lease of a new watch, and then reads the state.
func (e *Engine) acquireWatcherLease(s *service) {
	backend, ok := e.store.(store.WatcherLeases)
	if !ok || !e.beginWork() {
		return
	}
	go func() {
		defer e.endWork()
		e.renewWatcherRound(backend, firstWatcherLeaseTimeout, []string{s.name})
	}()
}

// takeQueue empties the queue. If that is empty, the caller ends.
func (w *watcherLeases) takeQueue() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	services := slices.Collect(maps.Keys(w.queue))
	clear(w.queue)
	w.running = len(services) > 0
	return services
}

// renewWatcherRound renews leases, and after a pause tries again those that failed.
func (e *Engine) renewWatcherRound(backend store.WatcherLeases, timeout time.Duration, services []string) {
	failed := e.renewWatchersNow(backend, timeout, services)
	w := &e.watcherLeases
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(failed) == 0 {
		w.failures = 0
		return
	}
	w.failures++
	time.AfterFunc(retryPauses.After(w.failures), func() { e.renewWatcherLeases(failed...) })
}

// renewWatchersNow renews leases now. It returns the services to be tried again.
func (e *Engine) renewWatchersNow(backend store.WatcherLeases, timeout time.Duration, services []string) (failed []string) {
	w := &e.watcherLeases
	ctx, cancel := context.WithTimeout(w.ctx, timeout)
	defer cancel()
	start, sending := time.Now(), false
	select {
	case w.sending <- struct{}{}:
		defer func() { <-w.sending }()
		start, sending = time.Now(), true
	case <-ctx.Done():
	}
	if w.ctx.Err() != nil {
		return nil // Close gives all leases up
	}
	renewals, hubs := make([]store.WatcherLease, len(services)), make([]*serviceHub, len(services))
	for i, name := range services {
		renewals[i], hubs[i] = e.watcherRenewal(name)
	}
	results := make([]store.WatcherLeaseResult, len(services))
	if sending {
		w.noteSent(renewals, start.Add(timeout))
		results = backend.RenewWatcherLeases(ctx, renewals)
	}
	for i, result := range results {
		if !sending {
			result.Err = fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
		}
		switch h := hubs[i]; {
		case h != nil:
			if e.watcherRenewed(h, start, result) {
				failed = append(failed, services[i])
			}
		case w.releaseFailed(services[i], result.Err):
			failed = append(failed, services[i])
		}
	}
	return failed
}

// noteSent records the leases that the backend may have after a request that ends
// by a certain time.
func (w *watcherLeases) noteSent(renewals []store.WatcherLease, by time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, renewal := range renewals {
		if renewal.TTL > 0 {
			w.leases[renewal.Service] = by.Add(renewal.TTL)
		}
	}
}

// releaseFailed takes the answer to giving a lease up. It reports whether to try
// again, which is until the lease has ended by itself.
func (w *watcherLeases) releaseFailed(service string, err error) (again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if until, ok := w.leases[service]; ok && err != nil && time.Now().Before(until) {
		return true
	}
	delete(w.leases, service)
	return false
}

// watcherRenewal returns what to send for a service now, and the hub that it is
// sent for, nil if there is no watch.
func (e *Engine) watcherRenewal(name string) (store.WatcherLease, *serviceHub) {
	renewal := store.WatcherLease{Service: name}
	s := e.knownService(name)
	if s == nil {
		return renewal, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hub != nil {
		renewal.TTL, renewal.Acknowledged = e.cfg.TTL, s.hub.acks.rev
	}
	return renewal, s.hub
}

// watcherRenewed takes the answer to a renewal for a hub. It reports whether to
// try again before the next check.
func (e *Engine) watcherRenewed(h *serviceHub, start time.Time, result store.WatcherLeaseResult) (again bool) {
	s := h.service
	s.mu.Lock()
	if s.hub != h {
		s.mu.Unlock()
		return false // the next request is for the hub there is now
	}
	read := h.lease.renewed(start, e.cfg.TTL, result)
	h.publish()
	if !read {
		h.wake() // subscribers that waited for the lease
	}
	again = result.Err != nil && !h.lease.denied
	s.mu.Unlock()
	if read {
		s.sharedRead(ResyncStart)
	}
	return again
}

// releaseWatcherLeases gives all watcher leases up, so that no drain waits for a
// process that has closed its registry, and ends the request under way. If the
// backend is unavailable, the leases end by themselves.
func (e *Engine) releaseWatcherLeases() {
	backend, ok := e.store.(store.WatcherLeases)
	if !ok {
		return
	}
	w := &e.watcherLeases
	defer w.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), firstWatcherLeaseTimeout)
	defer cancel()
	// Half of the time is for the request under way: it may leave nothing to do.
	half := time.NewTimer(firstWatcherLeaseTimeout / 2)
	defer half.Stop()
	select {
	case w.sending <- struct{}{}: // and never released
	case <-half.C:
		w.cancel()
		select {
		case w.sending <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
	w.mu.Lock()
	var releases []store.WatcherLease
	for service := range w.leases {
		releases = append(releases, store.WatcherLease{Service: service})
	}
	w.mu.Unlock()
	if len(releases) > 0 {
		backend.RenewWatcherLeases(ctx, releases)
	}
}
