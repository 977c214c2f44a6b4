package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/bench/measure"
)

// BenchmarkGoals measures every goal once and prints them as one table; see
// `make bench`. Run it with one iteration, as it repeats its measurements itself.
// With ROLLCALL_BENCH_GOALS set it also writes them, as JSON, to the file of that name.
func BenchmarkGoals(b *testing.B) {
	var goals []measure.Goal
	start := time.Now()
	for _, group := range []struct {
		name    string
		measure func(testing.TB) []measure.Goal
	}{
		{"serial", serialReads}, {"concurrent", concurrentReads}, {"churn", churnReads}, {"lookup", cachedLookups},
		{"local", localRegistry}, {"register", registers}, {"heartbeat", heartbeats}, {"watched", watched}, {"push", pushes}, {"memory", memory},
	} {
		began := time.Now()
		b.Run(group.name, func(b *testing.B) { goals = append(goals, group.measure(b)...) })
		fmt.Fprintf(os.Stderr, "measured %s in %s\n", group.name, time.Since(began).Round(time.Second/10))
	}
	fmt.Println()
	measure.Table(os.Stdout, goals)
	fmt.Printf("measured in %s\n", time.Since(start).Round(time.Second))
	writeJSON(b, "ROLLCALL_BENCH_GOALS", goals)
}

// writeJSON writes to the file that an environment variable names, if it does.
func writeJSON(b testing.TB, variable string, v any) {
	name := os.Getenv(variable)
	if name == "" {
		return
	}
	data, err := json.MarshalIndent(v, "", " ")
	if err == nil {
		err = os.WriteFile(name, append(data, '\n'), 0o644)
	}
	if err != nil {
		b.Fatal(err)
	}
}
