// Command scale computes, from measured costs per operation, what one Redis
// primary carries and what a Cluster multiplies. It measures the costs on a
// server that it starts, or takes them from a file that it wrote before.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("scale: ")
	costs := flag.String("costs", "bench/scale/costs.json", "measured costs, to be read or, with -measure, written")
	remeasure := flag.Bool("measure", false, "measure the costs again, on a redis-server started for it; takes half a minute")
	out := flag.String("o", "", "file to write to (default: standard output)")
	flag.Parse()
	if err := run(*costs, *remeasure, *out); err != nil {
		log.Fatal(err)
	}
}

func run(file string, remeasure bool, out string) error {
	var c Costs
	if remeasure {
		ctx := context.Background()
		addr, stop, err := startServer(ctx)
		if err != nil {
			return err
		}
		defer stop()
		if c, err = measureCosts(ctx, addr); err != nil {
			return err
		}
		data, err := json.MarshalIndent(c, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
			return err
		}
	} else {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, &c); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	w := io.Writer(os.Stdout)
	if out != "" {
		f, err := os.Create(out)
		if err != nil {
			return err
		}
		defer f.Close()
		w = f
	}
	write(w, c)
	return nil
}
