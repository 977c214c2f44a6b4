package balance

import (
	"fmt"
	"time"
)

// Ejection says when an instance is ejected, that is gets no requests for a time,
// and how long that time is. The zero value is the default.
//
// After that time one request, the probe request, goes to the instance. If it
// succeeds, the instance is readmitted. If it fails, the instance is ejected
// again, for twice as long. Once it has been readmitted for as long as its last
// ejection lasted, its next ejection lasts First again. Times vary at random by a
// fifth, so that many callers do not probe an instance at the same time.
//
// At most half of the instances, rounded up, are ejected at a time, and never
// all: when everything fails, the fault is likely elsewhere.
type Ejection struct {
	// Failures in a row eject an instance. A connection that could not be made,
	// or a dial error passed to Done, does so at once. Default: 5. If it is
	// negative, no instance is ever ejected.
	Failures int
	// First is how long the first ejection lasts. Default: 1 s.
	First time.Duration
	// Most is the longest ejection that doubling leads to. Default: 1 min, or
	// First if that is longer.
	Most time.Duration
}

func (e *Ejection) setDefaults() {
	if e.Failures == 0 {
		e.Failures = 5
	}
	if e.First == 0 {
		e.First = time.Second
	}
	if e.Most == 0 {
		e.Most = max(time.Minute, e.First)
	}
}

func (e *Ejection) problem() string {
	if e.First < 0 || e.Most < e.First {
		return fmt.Sprintf("First (%v) must be greater than 0 and at most Most (%v)", e.First, e.Most)
	}
	return ""
}

// lasts returns how long the n-th ejection lasts.
func (e *Ejection) lasts(n int, random uint64) time.Duration {
	d := e.First
	for range n - 1 {
		if d >= e.Most/2 {
			d = e.Most
			break
		}
		d *= 2
	}
	return time.Duration(float64(d) * (0.8 + 0.4*float64(random>>11)/(1<<53)))
}

// succeeded records a success. ejections is how often the upstream had been
// ejected when the request began: a request that began before the last ejection
// does not readmit it.
func (n *upstream) succeeded(ejections int64) {
	if n.failures.Load() != 0 {
		n.failures.Store(0)
	}
	if n.ejectedUntil.Load() != 0 && ejections == n.ejections.Load() {
		n.readmit()
	}
	if n.resetAt.Load() != 0 {
		n.resetEjections()
	}
}

func (n *upstream) readmit() {
	b := n.owner
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.ejectedUntil.Load() == 0 {
		return
	}
	n.ejectedUntil.Store(0)
	n.resetAt.Store(b.now() + int64(n.lastEjection))
	b.config.logger.Info("instance is readmitted", "service", b.service, "instance", n.id, "address", n.address)
}

func (n *upstream) resetEjections() {
	b := n.owner
	if at := n.resetAt.Load(); b.now() < at {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := n.resetAt.Load(); at != 0 && b.now() >= at {
		n.resetAt.Store(0)
		n.recentEjections = 0
	}
}

// failed records a failure, and ejects the upstream if there were too many.
func (n *upstream) failed(err error, probe, dial bool) {
	b := n.owner
	e := &b.config.ejection
	failures := n.failures.Add(1)
	if e.Failures < 0 || !probe && !dial && failures < int64(e.Failures) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.gone.Load() || !probe && n.ejectedUntil.Load() != 0 {
		return // it is no longer called, or the probe request decides
	}
	now := b.now()
	if !b.mayEject(n, now) {
		n.ejectedUntil.Store(0)
		return
	}
	n.recentEjections++
	n.lastEjection = e.lasts(n.recentEjections, b.random())
	n.failures.Store(0)
	n.resetAt.Store(0)
	n.ejections.Add(1)
	n.ejectedUntil.Store(now + int64(n.lastEjection))
	b.config.logger.Warn("instance is ejected", "service", b.service, "instance", n.id, "address", n.address,
		"for", n.lastEjection.Round(time.Millisecond), "failures", failures, "error", err)
}

// mayEject reports whether the limit that Ejection documents permits to eject n.
func (b *Balancer) mayEject(n *upstream, now int64) bool {
	s := b.current.Load()
	others := 0
	for _, g := range []*aliasTable{&s.near, &s.far} {
		for i := range g.endpoints {
			if e := &g.endpoints[i]; e.upstream != n && e.ejectedUntil.Load() > now {
				others++
			}
		}
	}
	return others < min((s.size()+1)/2, s.size()-1)
}
