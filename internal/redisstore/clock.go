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
type clock struct {
	perGroup bool

	mu     sync.Mutex
	latest tick
	groups map[string]tick
}

// tick is what Redis's clock said at a local time.
type tick struct {
	micros int64
	at     time.Time
}

// maxTicks bounds the services whose node's time is remembered.
const maxTicks = 10_000

// maxBack is how far the clock may lag behind the estimate, because the reply was
// long under way, before it counts as set back.
const maxBack = time.Second

// learn takes a time that Redis told, and reports whether its clock was set back.
func (c *clock) learn(group string, micros int64) (back bool) {
	t := tick{micros, time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.latest
	if c.perGroup {
		last = c.groups[group]
	}
	back = !last.at.IsZero() && micros < last.micros+(t.at.Sub(last.at)-maxBack).Microseconds()
	c.latest = t
	if !c.perGroup || group == "" {
		return back
	}
	if c.groups == nil || len(c.groups) >= maxTicks {
		c.groups = make(map[string]tick)
	}
	c.groups[group] = t
	return back
}

// when returns Redis's time at the local time t.
func (c *clock) when(group string, t time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.groups[group]
	if !ok {
		last = c.latest
	}
	return last.micros + t.Sub(last.at).Microseconds()
}
