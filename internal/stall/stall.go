// Package stall measures for how long the machine kept a test's processes from
// running, so that a bound on real time can allow for just that.
//
// A bound of the contract, such as "gone within TTL + 1 s", says what the
// library may take on a machine that runs it. A test machine also compiles, runs
// other tests and waits for its hypervisor. A test that waits in real time
// therefore calls [Measure] when it begins and holds what it waited for against
//
//	bound + stall.Between(t, from, to)
//
// where from and to are the two moments that the bound is about. On a machine
// that is idle the stall is next to nothing, and the bound is as strict as the
// contract. A bound is never widened by a constant for slow machines.
//
// The stall of a time is the sum of two measurements:
//
//   - of this process: a goroutine sleeps for a few milliseconds, again and
//     again, and notes by how much it overslept;
//   - of the processes that serve the test, such as a redis-server, the one that
//     was kept waiting most: for how long it was ready to run and did not, as the
//     kernel counts it (run delay in /proc/PID/task/*/schedstat). A process that a
//     test has stopped is not ready, so what a test does on purpose is no stall.
//     Where the kernel does not count, only this process is measured.
//
// A stall also ends what a test cannot extend, such as the timeout of a request in the
// library or a lease. So at the end of each test that measured, a line in its log gives
// the total and the most of any half second:
//
//	stall: 1622 of 5543 ms, up to 480 of 500 ms
//
// scripts/test repeats a test that failed on a machine that stalled for half of that
// time or more. A failure on a machine that ran stands.
package stall

import (
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// nap is how long the sampler sleeps at a time.
	nap = 5 * time.Millisecond
	// timerError is what a timer may be late by on an idle machine: it is no stall.
	timerError = 2 * time.Millisecond
	// processInterval is the time between two readings of other processes.
	processInterval = 100 * time.Millisecond
	// window is the time of which the greatest stall is reported.
	window = 500 * time.Millisecond
)

// Measure measures this process, and the processes with these IDs, until the
// test ends. It may be called again for further processes, also for one that
// replaced another. Not in a synctest bubble, where no time passes.
func Measure(t testing.TB, pids ...int) {
	shared.measure(t, pids)
}

// Between returns for how long, of the time between two moments, the machine kept
// this process and those that the test, its parents and its subtests measure from
// running. Before the first Measure nothing is known, and the stall is 0.
func Between(t testing.TB, from, to time.Time) time.Duration {
	return shared.between(t.Name(), from, to)
}

// Since is Between from a time and now.
func Since(t testing.TB, from time.Time) time.Duration { return Between(t, from, time.Now()) }

// shared is the meter of this process, of all its tests.
var shared meter

// meter is safe for concurrent use. Its goroutine runs while a test measures.
type meter struct {
	mu    sync.Mutex
	tests map[testing.TB]*measured
	stop  chan struct{}
	done  chan struct{}

	due    time.Time   // when the sampler is to wake, while it sleeps
	stalls []overslept // of this process, oldest first
}

// measured is a test that measures.
type measured struct {
	name      string
	from      time.Time
	processes []*process
	most      time.Duration // the greatest stall of a window
}

// overslept is a time in which this process did not run.
type overslept struct{ from, to time.Time }

func (g overslept) within(from, to time.Time) time.Duration {
	if g.from.Before(from) {
		g.from = from
	}
	if g.to.After(to) {
		g.to = to
	}
	return max(0, g.to.Sub(g.from))
}

func (m *meter) measure(t testing.TB, pids []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	test := m.tests[t]
	if test == nil {
		test = &measured{name: t.Name(), from: time.Now()}
		if m.tests == nil {
			m.tests = map[testing.TB]*measured{}
		}
		if len(m.tests) == 0 {
			m.stop, m.done = make(chan struct{}), make(chan struct{})
			m.due, m.stalls = time.Now().Add(nap), nil
			go m.sample(m.stop, m.done)
		}
		m.tests[t] = test
		t.Cleanup(func() { m.end(t, test) })
	}
	for _, pid := range pids {
		p := newProcess(pid)
		p.read(time.Now())
		test.processes = append(test.processes, p)
	}
}

// end reports a test's total. With the last test the sampler ends.
func (m *meter) end(t testing.TB, test *measured) {
	now := time.Now()
	total := m.between(test.name, test.from, now)
	m.mu.Lock()
	m.noteWindow(test, now)
	most := test.most
	m.mu.Unlock()
	t.Logf("stall: %d of %d ms, up to %d of %d ms", total.Milliseconds(), now.Sub(test.from).Milliseconds(), most.Milliseconds(), window.Milliseconds())
	m.mu.Lock()
	delete(m.tests, t)
	stop, done := m.stop, m.done
	last := len(m.tests) == 0
	m.mu.Unlock()
	if last {
		close(stop)
		<-done
	}
}

// sample notes by how much it oversleeps, and at intervals reads other processes.
func (m *meter) sample(stop, done chan struct{}) {
	defer close(done)
	timer := time.NewTimer(nap)
	defer timer.Stop()
	looked := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		now := time.Now()
		m.mu.Lock()
		if now.Sub(m.due) > timerError {
			m.stalls = append(m.stalls, overslept{m.due, now})
		}
		if now.Sub(looked) >= processInterval {
			looked = now
			for _, test := range m.tests {
				for _, p := range test.processes {
					p.read(now)
				}
				m.noteWindow(test, now)
			}
			now = time.Now()
		}
		m.due = now.Add(nap)
		m.mu.Unlock()
		timer.Reset(nap)
	}
}

// noteWindow notes the stall of the window that ends now, if it is the greatest.
// The caller holds m.mu.
func (m *meter) noteWindow(test *measured, now time.Time) {
	from := now.Add(-window)
	if from.Before(test.from) {
		from = test.from
	}
	test.most = max(test.most, min(m.betweenLocked(test.name, from, now), window))
}

func (m *meter) between(name string, from, to time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.betweenLocked(name, from, to)
}

func (m *meter) betweenLocked(name string, from, to time.Time) time.Duration {
	if len(m.tests) == 0 {
		return 0
	}
	var total time.Duration
	for i := len(m.stalls) - 1; i >= 0 && m.stalls[i].to.After(from); i-- {
		total += m.stalls[i].within(from, to)
	}
	now := time.Now()
	if overdue := (overslept{m.due, now}); overdue.within(m.due, now) > timerError {
		total += overdue.within(from, to) // the sampler has still to wake
	}
	var most time.Duration
	for _, test := range m.tests {
		if !related(test.name, name) {
			continue
		}
		for _, p := range test.processes {
			most = max(most, p.between(from, to, now))
		}
	}
	return total + min(most, max(0, to.Sub(from))) // the threads of one may wait at once
}

// related reports whether one test is the other or a part of it.
func related(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}
