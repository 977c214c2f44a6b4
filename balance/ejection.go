package balance

import (
	"fmt"
	"time"
)

// Ejection says when an instance is set aside, that is gets no requests for a
// while, and for how long. The zero value is the default.
//
// When the time is over, one request tries the instance. If it succeeds, the
// instance is back; if it fails, it is set aside again, for twice as long. Once
// it has been back for as long as it was aside, that is forgotten. Times vary at
// random by a fifth, so that callers do not come back at the same moment.
//
// At most half of the instances, rounded up, are set aside at a time, and never
// all: when everything fails, the fault is likely elsewhere.
type Ejection struct {
	// Failures in a row set an instance aside. A connection that could not be
	// made, or a dial error passed to Done, does so at once. Default: 5; under 0:
	// no instance is ever set aside.
	Failures int
	// First is how long the first time lasts. Default: 1 s.
	First time.Duration
	// Most is how long a time can become by doubling. Default: 1 min, or First
	// if that is longer.
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

// lasts returns the n-th time's length.
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

// succeeded takes note that a request went well, at whose beginning the node
// had been set aside so many times. One from before says nothing of it now.
func (n *node) succeeded(times int64) {
	if n.failures.Load() != 0 {
		n.failures.Store(0)
	}
	if n.until.Load() != 0 && times == n.times.Load() {
		n.restore()
	}
	if n.forgive.Load() != 0 {
		n.pardon()
	}
}

func (n *node) restore() {
	b := n.owner
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.until.Load() == 0 {
		return
	}
	n.until.Store(0)
	n.forgive.Store(b.now() + int64(n.aside))
	b.config.logger.Info("instance is called again", "service", b.service, "instance", n.id, "address", n.address)
}

func (n *node) pardon() {
	b := n.owner
	if at := n.forgive.Load(); b.now() < at {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := n.forgive.Load(); at != 0 && b.now() >= at {
		n.forgive.Store(0)
		n.ejections = 0
	}
}

// failed takes note of a failure and sets the node aside if it is time.
func (n *node) failed(err error, trial, dial bool) {
	b := n.owner
	e := &b.config.ejection
	failures := n.failures.Add(1)
	if e.Failures < 0 || !trial && !dial && failures < int64(e.Failures) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.gone.Load() || !trial && n.until.Load() != 0 {
		return // no longer called, or for a trial to say
	}
	now := b.now()
	if !b.maySetAside(n, now) {
		n.until.Store(0)
		return
	}
	n.ejections++
	n.aside = e.lasts(n.ejections, b.random())
	n.failures.Store(0)
	n.forgive.Store(0)
	n.times.Add(1)
	n.until.Store(now + int64(n.aside))
	b.config.logger.Warn("instance is set aside", "service", b.service, "instance", n.id, "address", n.address,
		"for", n.aside.Round(time.Millisecond), "failures", failures, "error", err)
}

// maySetAside reports whether enough others are left.
func (b *Balancer) maySetAside(n *node, now int64) bool {
	s := b.current.Load()
	others := 0
	for _, g := range []*group{&s.near, &s.far} {
		for i := range g.endpoints {
			if e := &g.endpoints[i]; e.node != n && e.until.Load() > now {
				others++
			}
		}
	}
	return others < min((s.size()+1)/2, s.size()-1)
}
