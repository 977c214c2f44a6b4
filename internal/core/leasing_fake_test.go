package core

import (
	"context"
	"strconv"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// leasingFake is a fake that keeps watcher leases, for processes that can be
// disconnected one by one.
type leasingFake struct {
	*fake
	leases map[string]leaseEntry // by owner; the fake's lock guards it
	memory int                   // how often it was lost
	lostAt int64                 // when it was lost last
}

type leaseEntry struct {
	ends int64
	rev  uint64
}

// leased reports whether a process has a watcher lease.
func (w *leasingFake) leased(owner string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.leases[owner]
	return ok && l.ends >= w.now()
}

// loseMemory loses all that the backend knows, leases included.
func (w *leasingFake) loseMemory() {
	w.set(func() {
		w.model.loseAll()
		w.leases, w.memory, w.lostAt = map[string]leaseEntry{}, w.memory+1, w.now()
	})
}

// watchingProcess is a leasingFake as one process reaches it.
type watchingProcess struct {
	*fakeStore
	backend      *leasingFake
	disconnected bool // the fake's lock guards it
}

func (p *watchingProcess) isDisconnected() bool {
	p.backend.mu.Lock()
	defer p.backend.mu.Unlock()
	return p.disconnected
}

func (p *watchingProcess) RenewWatcherLeases(ctx context.Context, all []store.WatcherLease) []store.WatcherLeaseResult {
	results := make([]store.WatcherLeaseResult, len(all))
	err := p.request(ctx)
	p.backend.mu.Lock()
	defer p.backend.mu.Unlock()
	for i, a := range all {
		if p.disconnected {
			err = errFake
		}
		if results[i].Err = err; err != nil {
			continue
		}
		was, ok := p.backend.leases[p.owner]
		results[i].Continued = ok && was.ends >= p.backend.now()
		if a.TTL == 0 {
			delete(p.backend.leases, p.owner)
			continue
		}
		rev, _ := strconv.ParseUint(a.Acknowledged, 10, 64)
		p.backend.leases[p.owner] = leaseEntry{p.backend.now() + a.TTL.Microseconds(), rev}
	}
	return results
}

func (p *watchingProcess) LaggingWatchers(ctx context.Context, service, id, rev string) (store.Watchers, error) {
	if err := p.request(ctx); err != nil {
		return store.Watchers{}, err
	}
	p.backend.mu.Lock()
	defer p.backend.mu.Unlock()
	s, now := p.backend.service(service), p.backend.now()
	at, _ := strconv.ParseUint(rev, 10, 64)
	is, _ := strconv.ParseUint(s.rev, 10, 64)
	w := store.Watchers{RemembersRev: is >= at, MemoryID: strconv.Itoa(p.backend.memory), MemoryLostAgo: -1}
	for _, l := range p.backend.leases {
		if l.ends >= now && l.rev < at {
			w.Lagging++
			w.LongestLease = max(w.LongestLease, time.Duration(l.ends-now)*time.Microsecond)
		}
	}
	if p.backend.memory > 0 {
		w.MemoryLostAgo = time.Duration(now-p.backend.lostAt) * time.Microsecond
	}
	return w, nil
}

func (p *watchingProcess) Read(service string, known store.KnownState, done func(store.Reading, error)) {
	p.fakeStore.Read(service, known, func(r store.Reading, err error) {
		if p.isDisconnected() {
			r, err = store.Reading{}, errFake
		}
		done(r, err)
	})
}

func (p *watchingProcess) Watch(service string, notify func(store.Notice)) (stop func()) {
	// Pushes are called with the fake's lock held.
	return p.fakeStore.Watch(service, func(n store.Notice) {
		if !p.disconnected {
			notify(n)
		}
	})
}
