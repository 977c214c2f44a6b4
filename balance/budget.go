package balance

import (
	"fmt"
	"math"
	"sync"
	"time"
)

// RetryBudget limits how many requests a Transport repeats, so that a service
// whose instances all fail does not get a multiple of its load at that moment.
// Each service has its own. The zero value is the default.
//
// Dials that failed are not counted, as nothing was sent: they cost no instance
// more than a refusal. Retries after an HTTP/1 connection that the server closed
// while it was idle are not counted either. TLS handshakes that failed are.
type RetryBudget struct {
	// Fraction is how many requests may be repeated, for each one begun in the
	// last 10 s, or still under way if those are more. Default: 0.2; under 0: as
	// many as WithTries allows.
	Fraction float64
	// PerSecond is how many may be repeated in addition, for services with few
	// requests. It gathers for up to 2 s, or to 1. Default: 10; under 0: none.
	PerSecond float64
}

func (r *RetryBudget) setDefaults() {
	if r.Fraction == 0 {
		r.Fraction = 0.2
	}
	if r.PerSecond == 0 {
		r.PerSecond = 10
	}
}

func (r *RetryBudget) problem() string {
	for name, v := range map[string]float64{"Fraction": r.Fraction, "PerSecond": r.PerSecond} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprintf("%s is %v, not a number of requests", name, v)
		}
	}
	return ""
}

// budgetWindow is how long requests count, in slots of a second.
const budgetWindow = 10

// gathers is for how many seconds RetryBudget.PerSecond adds up.
const gathers = 2

// retryBudget keeps a service's RetryBudget. Times are the balancer's.
type retryBudget struct {
	limits RetryBudget

	mu       sync.Mutex
	slots    [budgetWindow]budgetSlot
	underWay int64
	spare    float64 // what PerSecond has gathered
	filled   int64   // when; 0 if never
}

// budgetSlot is a second of the window.
type budgetSlot struct{ second, requests, retries int64 }

// source is what a retry was taken from.
type source int

const (
	nothing source = iota
	fraction
	perSecond
)

// slot returns that of a time. The caller holds the mutex.
func (b *retryBudget) slot(now int64) *budgetSlot {
	second := now / int64(time.Second)
	s := &b.slots[second%budgetWindow]
	if s.second != second {
		*s = budgetSlot{second: second}
	}
	return s
}

// begin counts a request.
func (b *retryBudget) begin(now int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slot(now).requests++
	b.underWay++
}

// end says that a request is no longer under way.
func (b *retryBudget) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.underWay--
}

// take allows one request to be repeated, unless nothing is left.
func (b *retryBudget) take(now int64) (from source, ok bool) {
	if b.limits.Fraction < 0 {
		return nothing, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	current := b.slot(now)
	var requests, retries int64
	for i := range b.slots {
		if s := &b.slots[i]; s.second > current.second-budgetWindow {
			requests += s.requests
			retries += s.retries
		}
	}
	if float64(retries+1) <= b.limits.Fraction*float64(max(requests, b.underWay)) {
		current.retries++
		return fraction, true
	}
	b.fill(now)
	if b.spare < 1 {
		return nothing, false
	}
	b.spare--
	return perSecond, true
}

// fill gathers what PerSecond allows. The caller holds the mutex.
func (b *retryBudget) fill(now int64) {
	most := gathers * b.limits.PerSecond
	if most > 0 {
		most = max(most, 1)
	}
	if b.filled == 0 {
		b.spare = most
	} else {
		b.spare = min(most, b.spare+b.limits.PerSecond*time.Duration(now-b.filled).Seconds())
	}
	b.filled = now
}

// giveBack undoes a take for a request that was not repeated after all.
func (b *retryBudget) giveBack(from source, now int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch from {
	case fraction:
		b.slot(now).retries--
	case perSecond:
		b.spare++
	}
}
