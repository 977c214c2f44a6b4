package redisstore

import (
	"sync"
	"time"
)

// clock estimates Redis's time from the last reply and the time since. The
// estimate is never ahead, as long as Redis's clock is not set back.
//
// Each shard has a clock of its own, so with one slot per script the estimate is per
// service. A node whose clock is not as estimated may refuse a call as late; the call
// is then repeated with the time in that reply.
type serverClock struct {
	mu         sync.Mutex
	perService bool
	latest     clockReading
	services   map[string]clockReading
}

// clockReading is what is known of one node's clock.
type clockReading struct {
	tick // the last
	// furthest are the ticks furthest ahead in two spans of time, this one and the
	// one before.
	furthest  [2]tick
	spanBegan time.Time // when this span began
}

// tick is what Redis's clock said at a local time.
type tick struct {
	micros int64
	at     time.Time
}

// serverTime is Redis's time at the local time t, as estimated from the tick.
func (k tick) serverTime(t time.Time) int64 { return k.micros + t.Sub(k.at).Microseconds() }

const (
	// furthestFor is the minimum time for which the clock's furthest tick is remembered.
	furthestFor = 30 * time.Second
	// maxDrift is the fraction by which the speeds of two clocks may differ.
	maxDrift = 0.001
)

// after returns the reading after a tick.
func (r clockReading) after(t tick) clockReading {
	switch {
	case t.at.Sub(r.spanBegan) > furthestFor:
		r.furthest, r.spanBegan = [2]tick{t, r.furthest[0]}, t.at
	case t.micros > r.furthest[0].serverTime(t.at):
		r.furthest[0] = t
	}
	r.tick = t
	return r
}

// maxClocks bounds the services whose node's time is remembered.
const maxClocks = 10_000

// maxLag is how far the clock may lag behind the estimate, because a reply took long,
// before it counts as set back.
const maxLag = time.Second

// note takes a time of Redis, and reports whether its clock was set back.
func (c *serverClock) note(service string, micros int64) (back bool) {
	t := tick{micros, time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.latest
	if c.perService {
		last = c.services[service]
	}
	back = !last.at.IsZero() && micros < last.serverTime(t.at)-maxLag.Microseconds()
	c.latest = c.latest.after(t)
	if !c.perService || service == "" {
		return back
	}
	if c.services == nil || len(c.services) >= maxClocks {
		c.services = make(map[string]clockReading)
	}
	c.services[service] = last.after(t)
	return back
}

// splitByService has the clocks of the services estimated separately.
func (c *serverClock) splitByService() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.perService = true
}

// at returns Redis's time at the local time t.
func (c *serverClock) at(service string, t time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readingOf(service).serverTime(t)
}

// readingOf returns the reading of the node that has service. c.mu is held.
func (c *serverClock) readingOf(service string) clockReading {
	if r, ok := c.services[service]; ok {
		return r
	}
	return c.latest
}

// passedBy returns a time that Redis's clock has passed by the local time t. That
// holds also when the clock was set back, or a server whose clock is behind took
// over, less than furthestFor ago: a new registration must not be older than one
// before that, which the server may have lost. It is 0 when too little is known.
func (c *serverClock) passedBy(service string, t time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := int64(0)
	if _, ok := c.services[service]; c.perService && !ok {
		return 0 // other nodes' clocks say nothing about this one
	}
	for _, k := range c.readingOf(service).furthest {
		if since := t.Sub(k.at); !k.at.IsZero() && since < 4*furthestFor {
			passed = max(passed, k.serverTime(t)-int64(maxDrift*float64(since.Microseconds())))
		}
	}
	return passed
}
