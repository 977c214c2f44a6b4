package nemesis

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// round is how long one plan runs. A longer soak runs several, each on a new server.
const round = time.Minute

// Promises 1 to 5, 7, 8 and 11 hold in a minute of random faults on a real server.
// ROLLCALL_SEED repeats a plan. ROLLCALL_SOAK=10m runs rounds for that long, with
// consecutive seeds.
func TestNemesis(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("ROLLCALL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("ROLLCALL_SEED: %v", err)
		}
	}
	soak := round
	if text := os.Getenv("ROLLCALL_SOAK"); text != "" {
		var err error
		if soak, err = time.ParseDuration(text); err != nil {
			t.Fatalf("ROLLCALL_SOAK: %v", err)
		}
	}
	for begun := time.Now(); ; seed++ {
		left := soak - time.Since(begun)
		t.Logf("ROLLCALL_SEED=%d", seed)
		h := runPlan(t, NewPlan(seed, min(round, left)), openReal)
		t.Logf("%d calls, %d watches, %d faults, %d registries", len(h.Calls), len(h.Watches), len(h.Faults), len(h.Clients))
		for _, f := range Figures(h) {
			t.Logf("figure: nemesis %s %d ms", f.Name, f.Worst.Round(time.Millisecond).Milliseconds())
		}
		reportViolations(t, h)
		if t.Failed() || soak-time.Since(begun) < round/2 {
			return
		}
	}
}

// reportViolations fails the test for each violation and prints the events around
// it. It writes the whole history to a file.
func reportViolations(t *testing.T, h *History) {
	t.Helper()
	violations := Check(h)
	if len(violations) == 0 {
		return
	}
	f, err := os.CreateTemp("", "rollcall-history-*.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := h.Write(f); err != nil {
		t.Fatal(err)
	}
	const maxPrinted = 10
	for i, v := range violations {
		if i == maxPrinted {
			t.Errorf("and %d more", len(violations)-maxPrinted)
			break
		}
		t.Errorf("%v\n%s", v, h.Around(v.ID, v.At, 8*second, second))
	}
	t.Errorf("%d violations with ROLLCALL_SEED=%d; the whole history: %s", len(violations), h.Seed, f.Name())
}
