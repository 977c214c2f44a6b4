package consulapi

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/waittest"
)

// TestNodeCheckWakesQueriesOfServices checks that a query of a service ends when a check
// of its node changes, as the answer does.
func TestNodeCheckWakesQueriesOfServices(t *testing.T) {
	b := localBackend(t)
	d, other := start(t, b, "n1"), start(t, b, "n2")
	d.register(`{"Name":"web","ID":"w1","Port":80}`)
	d.must("PUT", "/v1/agent/check/register", `{"Name":"disk","TTL":"10m","Status":"passing"}`)
	for _, reader := range []*daemon{d, other} {
		for _, step := range []struct {
			put  string
			want int // instances that pass
		}{
			{"/v1/agent/maintenance?enable=true", 0},
			{"/v1/agent/maintenance?enable=false", 1},
			{"/v1/agent/check/fail/disk", 0},
			{"/v1/agent/check/pass/disk", 1},
		} {
			waittest.Eventually(t, "the state before "+step.put, func() bool { return len(reader.health("web?passing")) == 1-step.want })
			index := reader.must("GET", "/v1/health/service/web?passing", "").index()
			query := reader.blocked(fmt.Sprintf("/v1/health/service/web?passing&wait=10m&index=%d", index))
			waittest.Eventually(t, "the query to block", func() bool { return reader.Blocked() == 1 })
			d.must("PUT", step.put, "")
			var a answer
			select {
			case a = <-query:
			case <-time.After(waittest.Limit):
				t.Fatalf("%s did not wake a query of %s", step.put, reader.config.Node)
			}
			if a.index() <= index {
				t.Errorf("%s: the index went from %d to %d", step.put, index, a.index())
			}
			if got := len(reader.health("web?passing")); got != step.want {
				t.Errorf("%s: %d instances pass, want %d", step.put, got, step.want)
			}
		}
	}
}

// TestFirstReadHasNodeChecks checks that a daemon that has just started does not answer
// without the checks of other nodes.
func TestFirstReadHasNodeChecks(t *testing.T) {
	b := localBackend(t)
	d := start(t, b, "n1")
	d.register(`{"Name":"web","ID":"w1","Port":80}`)
	d.must("PUT", "/v1/agent/maintenance?enable=true", "")
	for n := range 20 {
		other := start(t, b, fmt.Sprintf("late%d", n))
		if got := other.health("web?passing"); len(got) != 0 {
			t.Fatalf("the first answer has %v of a node in maintenance", got)
		}
	}
}
