package nemesis

import "time"

// Figure is the worst that a history shows of something that a promise bounds.
type Figure struct {
	Name  string
	Worst time.Duration
}

// Figures returns the worst of a history: how long after a crash Discover and
// watches still showed an instance, and how long after a loss of memory, and the
// outage around it, one was back. Faults in between count in.
func Figures(h *History) []Figure {
	m := newModel(h)
	out := []Figure{{Name: "2 gone from Discover"}, {Name: "2 gone from watches"}, {Name: "3 back in Discover"}}
	worse := func(i int, d time.Duration) { out[i].Worst = max(out[i].Worst, d) }
	for token, r := range m.tokens {
		if r.ender == nil && !r.failed && r.cause == Gone {
			for _, c := range h.Calls {
				if c.Op == Discover && shows(Yield{Shown: c.Shown}, token) {
					worse(0, c.Start-r.client.Ended)
				}
			}
			for _, w := range h.Watches {
				for i, y := range w.Yields {
					if i > 0 && shows(w.Yields[i-1], token) && !shows(y, token) {
						worse(1, y.At-r.client.Ended)
					}
				}
			}
		}
		for _, b := range r.reach {
			if b.lost != never && covered(r.must, b.until, b.until) && r.call.End < b.lost {
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
