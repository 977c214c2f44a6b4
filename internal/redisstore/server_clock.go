package redisstore

import (
	"sync"
	"time"
)

// clock estimates Redis's time from the last reply and the time since. The
// estimate is never ahead, as long as Redis's clock is not set back.
//
// The nodes of a Cluster have clocks of their own, so there the estimate is per
// service. A call that comes to a node with an unexpected clock is refused as
// late, and repeated with the time that the refusal told.
type serverClock struct {
	perService bool

	mu       sync.Mutex
	latest   clockReading
	services map[string]clockReading
}

// reading is what is known of one node's clock.
type clockReading struct {
	tick // the last
	// high are the furthest ahead of two spans of time, this one and the one before.
	furthest  [2]tick
	spanBegan time.Time // when this span began
}

// tick is what Redis's clock said at a local time.
type tick struct {
	micros int64
	at     time.Time
}

// when is Redis's time, as the tick has it, at the local time t.
func (k tick) serverTime(t time.Time) int64 { return k.micros + t.Sub(k.at).Microseconds() }

const (
	// highFor is for how long a clock that was set back is remembered, at least.
	furthestFor = 30 * time.Second
	// maxDrift is the part of a second by which two clocks may differ after one.
	maxDrift = 0.001
)

// next returns the reading after a tick.
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

// maxTicks bounds the services whose node's time is remembered.
const maxClocks = 10_000

// maxBack is how far the clock may lag behind the estimate, because the reply was
// long under way, before it counts as set back.
const maxLag = time.Second

// learn takes a time that Redis told, and reports whether its clock was set back.
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

// when returns Redis's time at the local time t.
func (c *serverClock) at(service string, t time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readingOf(service).serverTime(t)
}

// of returns the reading of the node that has service. c.mu is held.
func (c *serverClock) readingOf(service string) clockReading {
	if r, ok := c.services[service]; ok {
		return r
	}
	return c.latest
}

// before returns a time that Redis's clock has passed by the local time t, also
// when it was set back, or taken over by a server that lags behind, less than
// highFor ago. A registration must not be older than one that preceded that, and
// which the server may have lost. It is 0 when too little is known.
func (c *serverClock) passedBy(service string, t time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := int64(0)
	if _, ok := c.services[service]; c.perService && !ok {
		return 0 // what other nodes' clocks say is of no use
	}
	for _, k := range c.readingOf(service).furthest {
		if since := t.Sub(k.at); !k.at.IsZero() && since < 4*furthestFor {
			passed = max(passed, k.serverTime(t)-int64(maxDrift*float64(since.Microseconds())))
		}
	}
	return passed
}
