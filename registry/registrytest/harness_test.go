package registrytest

import (
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

const (
	testTTL  = time.Second
	testBeat = 300 * time.Millisecond
)

// refHarness declares all that the reference can do.
func refHarness(fault string) Harness {
	return Harness{
		New:     func(testing.TB) Universe { return newWorld(testTTL, testBeat, fault).universe() },
		Backend: true, Shared: true, Expiry: true, Mute: true, Refuse: true,
		TTL: testTTL, Heartbeat: testBeat, Bubble: true,
	}
}

// localHarness is a registry in memory of one process: nothing expires.
func localHarness(fault string) Harness {
	return Harness{
		New: func(testing.TB) Universe {
			return Universe{Open: func(testing.TB) registry.Registry { return newWorld(0, 0, fault).open() }}
		},
		Backend: true, Bubble: true,
	}
}

// four is a Registry with no method but the four.
type four struct{ registry.Registry }

func fourHarness() Harness {
	return Harness{
		New: func(testing.TB) Universe {
			return Universe{Open: func(testing.TB) registry.Registry { return four{newWorld(0, 0, "").open()} }}
		},
		Bubble: true,
	}
}

func TestReferencePasses(t *testing.T)      { Run(t, refHarness("")) }
func TestLocalReferencePasses(t *testing.T) { Run(t, localHarness("")) }
func TestFourMethodsPass(t *testing.T)      { Run(t, fourHarness()) }

func TestHarnessIsValidated(t *testing.T) {
	valid := refHarness("")
	for _, tc := range []struct {
		want   string
		change func(*Harness)
	}{
		{"New is not set", func(h *Harness) { h.New = nil }},
		{"needs Shared", func(h *Harness) { h.Shared = false }},
		{"needs a TTL", func(h *Harness) { h.TTL = 0 }},
		{"a Heartbeat below it", func(h *Harness) { h.Heartbeat = h.TTL }},
		{"Refuse needs Expiry", func(h *Harness) { h.Expiry, h.Shared = false, true }},
		{"Expiry is not declared", func(h *Harness) { h.Expiry, h.Refuse = false, false }},
	} {
		h := valid
		tc.change(&h)
		if err := h.validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("want an error with %q, got %v", tc.want, err)
		}
	}
	if err := valid.validate(); err != nil {
		t.Errorf("a valid harness: %v", err)
	}
}

func TestSummaryListsWhatIsNotDeclared(t *testing.T) {
	got := summary(localHarness("").capabilities())
	for _, want := range []string{"declared: push, backend;", "not declared: shared, expiry, cached, mute, refuse, which leaves out"} {
		if !strings.Contains(got, want) {
			t.Errorf("the summary %q lacks %q", got, want)
		}
	}
}

func TestNamesOfChecksAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range allChecks() {
		if seen[c.name] {
			t.Errorf("two checks are named %q", c.name)
		}
		seen[c.name] = true
	}
}
