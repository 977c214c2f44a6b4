// Command report writes docs/benchmarks.md and its plots from the JSON that the
// benchmarks left in a folder: goals-*.json (one per run), curves.json, peers.json.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"

	"github.com/rollcall-sd/rollcall/bench/measure"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("report: ")
	from := flag.String("from", "bin/bench", "folder of the JSON files")
	to := flag.String("to", "docs", "folder to write benchmarks.md and benchmarks/*.svg to")
	flag.Parse()
	if err := report(*from, *to); err != nil {
		log.Fatal(err)
	}
}

type curves struct {
	Machine string
	Curves  []measure.Curve
}

func report(from, to string) error {
	runs, err := goals(from)
	if err != nil {
		return err
	}
	var grown curves
	if err := read(filepath.Join(from, "curves.json"), &grown); err != nil {
		return err
	}
	var peers []measure.Goal
	if err := read(filepath.Join(from, "peers.json"), &peers); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Join(to, "benchmarks"), 0o755); err != nil {
		return err
	}
	for _, c := range grown.Curves {
		if err := plotTo(c, filepath.Join(to, "benchmarks", c.Name+".svg")); err != nil {
			return fmt.Errorf("plot %q: %w", c.Name, err)
		}
	}
	var doc bytes.Buffer
	write(&doc, grown, merge(runs), len(runs), peers)
	return os.WriteFile(filepath.Join(to, "benchmarks.md"), doc.Bytes(), 0o644)
}

// goals reads one table per run.
func goals(from string) ([][]measure.Goal, error) {
	names, err := filepath.Glob(filepath.Join(from, "goals-*.json"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no goals-*.json in %s: run make bench-full", from)
	}
	runs := make([][]measure.Goal, len(names))
	for i, name := range names {
		if err := read(name, &runs[i]); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// merge makes one table of several: each figure's sample is then the medians of
// the runs. The figures of a single run stay as they are.
func merge(runs [][]measure.Goal) []measure.Goal {
	if len(runs) == 1 {
		return runs[0]
	}
	out := make([]measure.Goal, len(runs[0]))
	for i, g := range runs[0] {
		g.Got = nil
		for _, run := range runs {
			if i < len(run) {
				g.Got = append(g.Got, run[i].Got.Median())
			}
		}
		out[i] = g
	}
	return out
}

func read(name string, into any) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func write(w io.Writer, grown curves, table []measure.Goal, runs int, peers []measure.Goal) {
	fmt.Fprintf(w, `# Benchmarks

<!-- Written by make bench-full. -->

Every figure is a ratio of variants that ran interleaved in one process, the median of many rounds: absolute times drift
three to four times on machines like this one, ratios hold. An instance is %s of JSON as the naive way stores it. The
naive way takes three round trips to register (SET, SADD, EXPIRE), SMEMBERS and a GET per id to discover, and a goroutine
with two EXPIREs per instance and heartbeat to stay alive; it is `+"`bench/naive`"+`. Limits: a bare GET, a bare SET, a raw PUBLISH to
a raw reader, an atomic pointer and a map. Callers pass a context that cannot end; one that can costs a read the waking of
another goroutine, because its caller waits on its context and not on the socket.

Measured on: %s.

## Goals

`, "290 bytes", grown.Machine)
	if runs > 1 {
		fmt.Fprintf(w, "The figure is the median of the medians of %d runs, between whose quarters half of the runs lie.\n\n", runs)
	}
	measure.Markdown(w, table)
	fmt.Fprint(w, "\n## Growth\n\nThe bars are quarters.\n\n")
	for _, c := range grown.Curves {
		fmt.Fprintf(w, "![%s](benchmarks/%s.svg)\n\n", c.Title, c.Name)
	}
	if len(peers) == 0 {
		return
	}
	fmt.Fprint(w, `## Others that do the same

etcd: the embedded server in a process of its own, one member, without waiting for its disk (Redis writes none here), all
instances on one lease, linearizable reads through its own client, values as JSON. go-kit: an Endpointer on a fixed list, in a
map by name. go-cache and golang-lru: a finished list under the service's name, without expiry. These return a bare list
that other code must keep correct; ours returns the watched state with its revision, age and staleness, 120 bytes by way
of two more pointers, and takes no lock: one goroutine alone pays for the former, many gain by the latter. Versions are those of
`+"`bench/peers/go.mod`"+`. Registries on Redis and in memory that the module proxy does not serve are left out.

`)
	measure.Markdown(w, peers)
}
