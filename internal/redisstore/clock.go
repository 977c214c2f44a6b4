package redisstore

import (
	"sync"
	"time"
)

// clock estimates Redis's time from the last reply and the time since. The
// estimate is never ahead, as long as Redis's clock is not set back.
type clock struct {
	mu     sync.Mutex
	micros int64
	at     time.Time
}

func (c *clock) learn(micros int64) {
	now := time.Now()
	c.mu.Lock()
	c.micros, c.at = micros, now
	c.mu.Unlock()
}

// when returns Redis's time at the local time t.
func (c *clock) when(t time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.micros + t.Sub(c.at).Microseconds()
}
