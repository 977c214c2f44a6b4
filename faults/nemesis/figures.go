package nemesis

import "time"

// Figure is the worst value in a history of something that a promise bounds.
type Figure struct {
	Name  string
	Worst time.Duration
}

// Figures returns the worst values of a history: for how long after its TTL
// Discover and watches showed an instance whose owner had crashed, counting only
// times without other faults, and how long after a loss of memory, and the outage
// around it, an instance was back.
func Figures(h *History) []Figure {
	m := newModel(h)
	out := []Figure{{Name: "2 in Discover beyond the TTL"}, {Name: "2 in watches beyond the TTL"}, {Name: "3 back in Discover"}}
	worse := func(i int, d time.Duration) { out[i].Worst = max(out[i].Worst, d) }
	for token, r := range m.tokens {
		if r.endedBy == nil && !r.failed && r.cause == Gone {
			leaseEnd := r.client.Ended + r.client.TTL
			for _, c := range h.Calls {
				if c.Op == Discover && shows(Yield{Shown: c.Shown}, token) && m.quiet("", r.client.Ending, c.End) {
					worse(0, c.Start-leaseEnd)
				}
			}
			for _, w := range h.Watches {
				for i, y := range w.Yields {
					if i > 0 && shows(w.Yields[i-1], token) && !shows(y, token) && m.quiet(w.Client, r.client.Ending, y.At) {
						worse(1, y.At-leaseEnd)
					}
				}
			}
		}
		for _, b := range r.outages {
			if b.lost != never && covered(r.mustShow, b.until, b.until) && r.call.End < b.lost {
				for _, c := range h.Calls {
					if c.Op == Discover && c.Start >= b.to && shows(Yield{Shown: c.Shown}, token) {
						worse(2, c.Start-b.to)
						break
					}
				}
			}
		}
	}
	return out
}

// quiet reports whether no fault affected a client between two moments.
func (m *model) quiet(client string, from, to Moment) bool {
	for _, w := range m.windows(client) {
		if w.from <= to && m.by(w.to, second) >= from {
			return false
		}
	}
	return true
}
