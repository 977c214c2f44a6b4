package nemesis

import "time"

// Figure is the worst that a history shows of something that a promise bounds.
type Figure struct {
	Name  string
	Worst time.Duration
}

// Figures returns the worst of a history: how long beyond its TTL Discover and
// watches showed an instance whose owner had crashed, where nothing else was
// wrong meanwhile, and how long after a loss of memory, and the outage around
// it, one was back.
func Figures(h *History) []Figure {
	m := newModel(h)
	out := []Figure{{Name: "2 in Discover beyond the TTL"}, {Name: "2 in watches beyond the TTL"}, {Name: "3 back in Discover"}}
	worse := func(i int, d time.Duration) { out[i].Worst = max(out[i].Worst, d) }
	for token, r := range m.tokens {
		if r.ender == nil && !r.failed && r.cause == Gone {
			lapses := r.client.Ended + r.client.TTL
			for _, c := range h.Calls {
				if c.Op == Discover && shows(Yield{Shown: c.Shown}, token) && m.quiet("", r.client.Ending, c.End) {
					worse(0, c.Start-lapses)
				}
			}
			for _, w := range h.Watches {
				for i, y := range w.Yields {
					if i > 0 && shows(w.Yields[i-1], token) && !shows(y, token) && m.quiet(w.Client, r.client.Ending, y.At) {
						worse(1, y.At-lapses)
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

// quiet reports whether nothing was wrong for a client in a time.
func (m *model) quiet(client string, from, to Moment) bool {
	for _, w := range m.windows(client) {
		if w.from <= to && m.by(w.to, second) >= from {
			return false
		}
	}
	return true
}
