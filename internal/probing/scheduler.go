// Package probing runs probes again and again, each at an interval of its own, with
// a limit on how many run at a time. Package health and the daemon share it.
package probing

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
)

// intervalJitter is the largest part by which the pause before the next run is shortened.
const intervalJitter = 0.2

// Scheduler runs tasks. One goroutine serves all that wait. It is safe for concurrent
// use.
type Scheduler struct {
	concurrency int
	ctx         context.Context // ends with the Scheduler
	cancel      context.CancelFunc
	loops       sync.WaitGroup // the loop and the runs
	wake        chan struct{}  // tells the loop to look again; has room for one

	mu      sync.Mutex
	closed  bool
	started bool  // the loop
	due     queue // the tasks that are not running
	running int
}

// Task is one probe that runs again and again.
type Task struct {
	run      func() (again bool)
	interval time.Duration

	// Guarded by the scheduler's mu.
	due     time.Time
	place   int // in the queue, or -1
	removed bool
}

// New returns a Scheduler that runs so many tasks at a time.
func New(concurrency int) *Scheduler {
	s := &Scheduler{concurrency: concurrency, wake: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Add runs a task at once and then after 80 to 100 % of the interval since its last
// start, at random, so that tasks spread out. It ends when run returns false, with
// Remove and with Close. No two runs of a task overlap.
func (s *Scheduler) Add(interval time.Duration, run func() (again bool)) *Task {
	t := &Task{run: run, interval: interval, place: -1}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schedule(t, time.Now())
	return t
}

// Remove ends a task, which may be nil. A run that has begun goes on.
func (s *Scheduler) Remove(t *Task) {
	if t == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.removed = true
	if t.place >= 0 {
		heap.Remove(&s.due, t.place)
	}
}

// Close ends all tasks and waits for those that run.
func (s *Scheduler) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.loops.Wait()
}

// schedule puts a task in the queue. s.mu is held.
func (s *Scheduler) schedule(t *Task, due time.Time) {
	if s.closed || t.removed {
		return
	}
	t.due = due
	heap.Push(&s.due, t)
	if !s.started {
		s.started = true
		s.loops.Go(s.loop)
	}
	s.wakeUp()
}

func (s *Scheduler) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// loop starts tasks when they are due, until the Scheduler closes.
func (s *Scheduler) loop() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		if wait, any := s.startDue(); any {
			t.Reset(wait)
		} else {
			t.Stop()
		}
		select {
		case <-t.C:
		case <-s.wake:
		case <-s.ctx.Done():
			return
		}
	}
}

// startDue starts what is due, as far as there is room, and returns how long
// until the next is due. Without one, or without room, only a wake-up helps.
func (s *Scheduler) startDue() (wait time.Duration, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.due) > 0 && s.running < s.concurrency && !s.closed {
		if wait := time.Until(s.due[0].due); wait > 0 {
			return wait, true
		}
		t := heap.Pop(&s.due).(*Task)
		s.running++
		s.loops.Go(func() { s.runOnce(t) })
	}
	return 0, false
}

func (s *Scheduler) runOnce(t *Task) {
	start := time.Now()
	again := t.run()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if again {
		s.schedule(t, start.Add(backoff.Jitter(t.interval, intervalJitter)))
	}
	s.wakeUp()
}

// queue is a heap of tasks, the one that is due first in front.
type queue []*Task

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *queue) Push(x any) {
	t := x.(*Task)
	t.place = len(*q)
	*q = append(*q, t)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.place = -1
	return t
}
