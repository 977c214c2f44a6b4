package health

import (
	"container/heap"
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
)

// intervalJitter is the largest part by which the pause before the next probe is shortened.
const intervalJitter = 0.2

// schedule puts a check in the queue. c.mu is held.
func (c *Checker) schedule(k *check, due time.Time) {
	if c.closed {
		return
	}
	k.due = due
	heap.Push(&c.due, k)
	if !c.started {
		c.started = true
		c.loops.Go(c.run)
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run starts probes when they are due, until the Checker closes.
func (c *Checker) run() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		if wait, any := c.startDue(); any {
			t.Reset(wait)
		} else {
			t.Stop()
		}
		select {
		case <-t.C:
		case <-c.wake:
		case <-c.ctx.Done():
			return
		}
	}
}

// startDue starts what is due, as far as there is room, and returns how long
// until the next is due. Without one, or without room, only a wake-up helps.
func (c *Checker) startDue() (wait time.Duration, any bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.due) > 0 && c.running < c.config.concurrency && !c.closed {
		if wait := time.Until(c.due[0].due); wait > 0 {
			return wait, true
		}
		k := heap.Pop(&c.due).(*check)
		c.running++
		c.loops.Go(func() { c.probe(k) })
	}
	return 0, false
}

// probe runs a check once and puts it back in the queue.
func (c *Checker) probe(k *check) {
	start := time.Now()
	again := k.run()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if c.checks[k.target.Instance.ID] == k {
		if again {
			c.schedule(k, start.Add(backoff.Jitter(c.config.interval, intervalJitter)))
			return
		}
		delete(c.checks, k.target.Instance.ID)
		k.cancel()
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// queue is a heap of checks, the one that is due first in front.
type queue []*check

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *queue) Push(x any) {
	k := x.(*check)
	k.place = len(*q)
	*q = append(*q, k)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	k := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	k.place = -1
	return k
}

// remove takes a check out of the queue, if it is in there.
func (q *queue) remove(k *check) {
	if k != nil && k.place >= 0 {
		heap.Remove(q, k.place)
	}
}
