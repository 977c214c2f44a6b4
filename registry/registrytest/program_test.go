package registrytest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// A program gets the failures that go test would show, and no panic.
func TestChecksInAProgram(t *testing.T) {
	h := Harness{Backend: true, New: func(tb testing.TB) Universe {
		return Universe{Open: func(testing.TB) registry.Registry { return registry.NewLocalRegistry() }}
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ran := map[string]bool{}
	if err := runInProgram(ctx, h, func(check string, failures []string) {
		ran[check] = true
		if len(failures) > 0 {
			t.Errorf("%s: %q", check, failures)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range allChecks() {
		if c.applies(h.capabilities()) != ran[c.name] {
			t.Errorf("%s ran: %t", c.name, ran[c.name])
		}
	}
	// What Open returns has more than the harness declares.
	h.Backend = false
	failed := 0
	if err := runInProgram(ctx, h, func(_ string, failures []string) {
		if slices.ContainsFunc(failures, func(f string) bool { return strings.Contains(f, "implements registry.Watcher: true") }) {
			failed++
		}
	}); err != nil || failed == 0 {
		t.Errorf("%d checks fail on a wrong harness, %v", failed, err)
	}
}

func TestCheckInAProgramCleansUpInReverse(t *testing.T) {
	var order []int
	failures := runCheck(t.Context(), "check", func(tb testing.TB) {
		tb.Cleanup(func() { order = append(order, 1) })
		tb.Cleanup(func() { order = append(order, 2); tb.Errorf("at the end: %d", 1) })
		tb.Fatal("first")
	})
	if !slices.Equal(order, []int{2, 1}) || !slices.Equal(failures, []string{"first", "at the end: 1"}) {
		t.Errorf("order %v, failures %q", order, failures)
	}
}
