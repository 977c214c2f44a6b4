package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// typical are the fleets that docs/scale.md computes.
var typical = []struct {
	name string
	load Load
}{
	{"a team", Load{Instances: 200, Services: 30, Owners: 200, Beat: 10 * time.Second, Watchers: 200, Watched: 5, Churn: 0.5, Reads: 100}},
	{"a company", Load{Instances: 10_000, Services: 300, Owners: 10_000, Beat: 10 * time.Second, Watchers: 10_000, Watched: 10, Churn: 10, Reads: 5000}},
	{"many instances per process", Load{Instances: 100_000, Services: 1000, Owners: 100, Beat: 10 * time.Second, Watchers: 1000, Watched: 20, Churn: 50, Reads: 1000}},
	{"a deployment of all", Load{Instances: 10_000, Services: 300, Owners: 10_000, Beat: 10 * time.Second, Watchers: 10_000, Watched: 10, Churn: 200, Reads: 5000}},
}

func write(w io.Writer, c Costs) {
	p := func(format string, args ...any) { fmt.Fprintf(w, format, args...) }
	p(`# Scale

<!-- Written by make scale from costs that were measured. -->

What one Redis primary carries follows from what an operation costs it. Redis runs commands on one processor, so what
counts is the sum of these costs per second; clients cost next to nothing (see benchmarks.md).

## Costs per operation

`)
	p("| operation | processor time of the primary |\n| --- | --- |\n")
	for _, row := range []struct {
		what string
		cost float64
	}{
		{"a heartbeat's script, one per owner, service and heartbeat", c.RenewService},
		{"each lease in it", c.RenewInstance},
		{"a registration or other change on its own", c.Change},
		{"a registration in a batch, as at start-up and when reregistering", c.ChangeBatched},
		{"a check that nothing changed: per watched service, process and heartbeat, and per read", c.Check},
		{"delivering a change to one watching process", c.Push},
	} {
		p("| %s | %.1f µs |\n", row.what, row.cost)
	}
	p("\nMemory: %.0f bytes per instance. Measured on: %s.\n", c.Bytes, c.Machine)
	p(`
## The arithmetic

Per second, with interval for the heartbeat interval in seconds:

- heartbeats: (owners x services of each x script + instances x lease) / interval
- checks: processes x services that each watches x check / interval
- changes: changes x change
- pushes: changes x processes that watch the service x delivery
- reads: reads x check; callers in one process that read at the same time share one

`)
	p("| fleet | instances | services | watching | changes/s | heartbeats | checks | changes | pushes | reads | sum | grows to |\n|%s\n",
		strings.Repeat(" --- |", 12))
	for _, t := range typical {
		u, l := use(c, t.load), t.load
		p("| %s | %d | %d | %d x %d | %g | %s | %s | %s | %s | %s | %s | %.1f x |\n", t.name, l.Instances, l.Services, l.Watchers, l.Watched, l.Churn,
			share(u.Heartbeats), share(u.Checks), share(u.Changes), share(u.Pushes), share(u.Reads), share(u.Total()), most(c, l))
	}
	p("\nShares are of one processor; \"grows to\" is the size at which %s of it is used, the rest being for bursts.\n", share(sensible))
	first := typical[1].load
	p(`
## Where it saturates

- Checks and pushes grow with processes times services: the first limit of a fleet in which every process watches much.
  A longer heartbeat lowers both checks and heartbeats; a process that stops watching what it does not call lowers both.
- A change costs its delivery to every process that watches. A deployment that replaces all instances at once is the peak
  to plan for.
- After a loss of all data %d instances are back in %s of the primary's time, spread over one heartbeat interval.
- Memory is no limit: %d instances take %.0f MB.
- Connections: up to three per process (two for calls, one that is subscribed); Redis's default limit of 10,000 clients
  is reached at some 3,300 processes: raise maxclients.

## What a Cluster multiplies

The keys of a service lie in one slot, so services spread over the primaries: heartbeats, checks, changes and reads of N
primaries add up to N times one, as long as no single service outgrows a primary. What does not spread: the catalog of
names, which is one key and one small script per owner's heartbeat; pushes, because a Cluster carries a PUBLISH to every node;
and a single service, of which one primary carries %.0f leases at a heartbeat interval of 10 s, kept by owners of 100 each. Checks on a
Cluster are script calls, which cost about twice the plain commands of the table.
`, first.Instances, healing(c, first).Round(10*time.Millisecond), first.Instances, use(c, first).Bytes/1e6, leases(c))
}

// leases is how many leases of one service fill a primary's share at a heartbeat interval of 10 s.
func leases(c Costs) float64 {
	return sensible * 10 / ((c.RenewService/100 + c.RenewInstance) * 1e-6)
}

func share(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }
