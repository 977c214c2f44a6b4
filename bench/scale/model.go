package main

import "time"

// Costs are a primary's processor time per operation, in µs, and its memory.
type Costs struct {
	Machine       string
	RenewService  float64 // one script call of a heartbeat, without its leases
	RenewInstance float64 // per lease in it
	Change        float64 // a registration, alone in its call
	ChangeBatched float64 // a registration in a batch
	Check         float64 // the conditional read, per watched service and beat, or per Snapshot
	Push          float64 // delivering one change to one subscription
	Bytes         float64 // memory per instance
}

// Load is a fleet. Rates are per second.
type Load struct {
	Instances int
	Services  int
	Owners    int // processes that register; instances of one service are spread over all its owners
	Beat      time.Duration
	Watchers  int     // processes that watch
	Watched   int     // services that each of them watches
	Churn     float64 // changes
	Reads     float64 // Snapshot and Discover calls of an unchanged service, before coalescing
}

// Use is what a load takes of a primary, in processors, by kind of work.
type Use struct{ Heartbeats, Checks, Changes, Pushes, Reads, Bytes float64 }

// Total is the share of one processor: Redis runs commands on one.
func (u Use) Total() float64 { return u.Heartbeats + u.Checks + u.Changes + u.Pushes + u.Reads }

// use is the arithmetic of docs/scale.md.
func use(c Costs, l Load) Use {
	const micro = 1e-6
	beats := 1 / l.Beat.Seconds()
	// Each owner calls once per beat and service that it has instances of.
	calls := float64(min(l.Instances, max(l.Owners, l.Services)))
	// A change reaches each process that watches the service.
	reach := float64(l.Watchers) * min(1, float64(l.Watched)/float64(l.Services))
	return Use{
		Heartbeats: micro * beats * (calls*c.RenewService + float64(l.Instances)*c.RenewInstance),
		Checks:     micro * beats * float64(l.Watchers*l.Watched) * c.Check,
		Changes:    micro * l.Churn * c.Change,
		Pushes:     micro * l.Churn * reach * c.Push,
		Reads:      micro * l.Reads * c.Check,
		Bytes:      float64(l.Instances) * c.Bytes,
	}
}

// sensible is the share of its processor that a primary may be planned for: the
// rest is for bursts, and for healing after a loss.
const sensible = 0.5

// most returns how many times the load a primary carries at that share.
func most(c Costs, l Load) float64 {
	low, high := 0.0, 1e6
	for range 60 {
		mid := (low + high) / 2
		if use(c, l.times(mid)).Total() > sensible {
			high = mid
		} else {
			low = mid
		}
	}
	return low
}

// times grows the fleet: more of the same services with the same watchers each.
func (l Load) times(n float64) Load {
	grow := func(v int) int { return int(float64(v) * n) }
	l.Instances, l.Services, l.Owners, l.Watchers = grow(l.Instances), max(grow(l.Services), 1), grow(l.Owners), grow(l.Watchers)
	l.Churn, l.Reads = l.Churn*n, l.Reads*n
	return l
}

// healing is how long a primary that lost everything takes to hold it again.
func healing(c Costs, l Load) time.Duration {
	return time.Duration(float64(l.Instances) * c.ChangeBatched * float64(time.Microsecond))
}
