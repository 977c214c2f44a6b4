package stall

import (
	"os/exec"
	"strings"
	"testing"
)

// scripts/test repeats these tests, and no others.
func TestFailuresOfStalledTests(t *testing.T) {
	const (
		ran     = "    stall.go:1: stall: 300 of 9000 ms, up to 249 of 500 ms\n"
		stalled = "    stall.go:1: stall: 300 of 900 ms, up to 250 of 500 ms\n"
	)
	failed := func(test, log string) string {
		return "=== RUN   " + test + "\n=== RUN   Other\n=== NAME  " + test + "/part\n" + log + "--- FAIL: " + test + " (1.00s)\n    --- FAIL: " + test + "/part (0.50s)\n"
	}
	for _, test := range []struct{ name, log, want string }{
		{"none failed", "=== RUN   A\n" + stalled + "--- PASS: A (0.10s)\nPASS\n", ""},
		{"one failed on a machine that stalled", failed("A", stalled) + "FAIL\n", "A"},
		{"one of two measurements", failed("A", ran+stalled) + "FAIL\n", "A"},
		{"one failed on a machine that ran", failed("A", ran) + "FAIL\n", ""},
		{"one failed and measured nothing", failed("A", "") + "FAIL\n", ""},
		{"two", failed("A", stalled) + failed("B", stalled) + "FAIL\n", "A|B"},
		{"two, one on a machine that ran", failed("A", stalled) + failed("B", ran) + "FAIL\n", ""},
		{"a data race", failed("A", "WARNING: DATA RACE\n"+stalled) + "FAIL\n", ""},
		{"a panic", failed("A", stalled) + "panic: oh\n", ""},
		{"a leak after the tests", "--- PASS: A (0.10s)\nPASS\ngoleak: Errors on successful test run\n", ""},
	} {
		cmd := exec.Command("../../scripts/stalled-failures")
		cmd.Stdin = strings.NewReader(test.log)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != test.want {
			t.Errorf("%s: got %q (%v), want %q", test.name, got, err, test.want)
		}
	}
}
