package core

import (
	"fmt"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// The table in the documentation of decide, row by row; nil matches everything.
// Each combination of the inputs must be decided by the first row that matches it.
func TestInstancesAreDroppedOnEvidenceOnly(t *testing.T) {
	type set = []any
	table := []struct {
		listed, tombstone, disconnected, grace set
		want                                   decision
	}{
		{set{true}, nil, nil, nil, showListed},
		{set{false}, set{store.ReasonDeregistered, store.ReasonMoved}, nil, nil, drop},
		{set{false}, nil, set{true}, nil, retainAsLost},
		{set{false}, nil, set{false}, set{graceOver}, drop},
		{set{false}, nil, set{false}, set{graceRunning}, keepRetained},
		{set{false}, set{store.ReasonExpired}, set{false}, set{noGrace}, retainAsExpired},
		{set{false}, set{store.Reason("")}, set{false}, set{noGrace}, retainAsLost},
	}
	matches := func(allowed set, value any) bool {
		for _, a := range allowed {
			if a == value {
				return true
			}
		}
		return allowed == nil
	}
	used := make([]int, len(table))
	check := func(s situation) {
		for i, row := range table {
			if matches(row.listed, s.listed) && matches(row.tombstone, s.tombstone) &&
				matches(row.disconnected, s.disconnected) && matches(row.grace, s.grace) {
				used[i]++
				if got := decide(s); got != row.want {
					t.Errorf("%+v: decision %d, want %d by row %d", s, got, row.want, i+1)
				}
				return
			}
		}
		t.Errorf("%+v: no row of the table matches", s)
	}
	for _, listed := range []bool{true, false} {
		for _, tombstone := range []store.Reason{"", store.ReasonDeregistered, store.ReasonMoved, store.ReasonExpired} {
			for _, disconnected := range []bool{true, false} {
				for _, grace := range []gracePeriod{noGrace, graceRunning, graceOver} {
					check(situation{listed, tombstone, disconnected, grace})
				}
			}
		}
	}
	for i, n := range used {
		if n == 0 {
			t.Errorf("row %d of the table decides nothing", i+1)
		}
	}
}

// A tombstone is evidence for the registrations that it covers only.
func TestATombstoneSaysNothingOfANewerRegistration(t *testing.T) {
	ev := evidence{"a": {ID: "a", Reason: store.ReasonDeregistered, RegisteredAt: 7}}
	for registeredAt, want := range map[int64]store.Reason{6: store.ReasonDeregistered, 7: store.ReasonDeregistered, 8: ""} {
		t.Run(fmt.Sprint(registeredAt), func(t *testing.T) {
			if got := ev.reason(&Entry{Record: &store.Record{ID: "a", RegisteredAt: registeredAt}}); got != want {
				t.Errorf("the reason is %q, want %q", got, want)
			}
		})
	}
	if got := ev.reason(&Entry{Record: &store.Record{ID: "b", RegisteredAt: 1}}); got != "" {
		t.Errorf("the reason of another instance is %q", got)
	}
}
