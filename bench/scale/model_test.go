package main

import (
	"math"
	"testing"
	"time"
)

var round = Costs{RenewService: 100, RenewInstance: 1, Change: 50, ChangeBatched: 20, Check: 10, Push: 2, Bytes: 400}

func TestUseAddsUp(t *testing.T) {
	u := use(round, Load{Instances: 10_000, Services: 100, Owners: 1000, Beat: 10 * time.Second,
		Watchers: 500, Watched: 10, Churn: 100, Reads: 1000})
	want := Use{
		Heartbeats: 0.1 * (1000*100e-6 + 10_000*1e-6),
		Checks:     0.1 * 500 * 10 * 10e-6,
		Changes:    100 * 50e-6,
		Pushes:     100 * 50 * 2e-6, // a tenth of the services: 50 of the 500 watchers
		Reads:      1000 * 10e-6,
		Bytes:      4e6,
	}
	for name, pair := range map[string][2]float64{
		"heartbeats": {u.Heartbeats, want.Heartbeats}, "checks": {u.Checks, want.Checks}, "changes": {u.Changes, want.Changes},
		"pushes": {u.Pushes, want.Pushes}, "reads": {u.Reads, want.Reads}, "bytes": {u.Bytes, want.Bytes},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-9*pair[1] {
			t.Errorf("%s: %v, want %v", name, pair[0], pair[1])
		}
	}
}

func TestMostIsWhereTheShareIsReached(t *testing.T) {
	l := typical[1].load
	n := most(round, l)
	if got := use(round, l.times(n)).Total(); n <= 0 || math.Abs(got-sensible) > 0.01 {
		t.Errorf("%v times the load uses %v of a processor, want %v", n, got, sensible)
	}
}
