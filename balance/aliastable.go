package balance

// aliasTable is a list of endpoints from which one can be drawn by weight in
// constant time (Vose's alias method).
type aliasTable struct {
	endpoints []endpoint
	weight    int64 // in total
}

// share says of a draw that hits an endpoint that it keeps it in keep of 2^32
// cases and gives it to another one in the rest.
type share struct{ keep, other uint32 }

func newAliasTable(endpoints []endpoint) aliasTable {
	g := aliasTable{endpoints: endpoints}
	for i := range endpoints {
		g.weight += endpoints[i].weight
	}
	n := int64(len(endpoints))
	// There is room for g.weight in each place; each endpoint brings n times its own.
	rest := make([]int64, n)
	var small, large []int
	for i := range endpoints {
		endpoints[i].share.other = uint32(i) // for those that fill their place
		rest[i] = endpoints[i].weight * n
		if rest[i] < g.weight {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		endpoints[s].share = share{keep: uint32(float64(rest[s]) / float64(g.weight) * (1 << 32)), other: uint32(l)}
		if rest[l] -= g.weight - rest[s]; rest[l] < g.weight {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	return g
}

// draw maps random bits to an endpoint's index, by weight.
func (g *aliasTable) draw(random uint64) int {
	i := uint32(random >> 32 * uint64(len(g.endpoints)) >> 32)
	if s := g.endpoints[i].share; uint32(random) >= s.keep {
		i = s.other
	}
	return int(i)
}

// drawFilter says which endpoints may be drawn.
type drawFilter struct {
	balancer   *Balancer
	tried      []Picked // not these
	ejectedToo bool     // also ejected endpoints
	bits       uint64   // random at first
}

// random makes further random bits of the first (SplitMix64), which is quicker
// than to draw again.
func (w *drawFilter) random() uint64 {
	w.bits += 0x9e3779b97f4a7c15
	z := w.bits
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (w *drawFilter) accepts(e *endpoint) bool {
	if until := e.ejectedUntil.Load(); until != 0 && !w.ejectedToo && until > w.balancer.now() {
		return false
	}
	for i := range w.tried {
		if w.tried[i].upstream() == e.upstream {
			return false
		}
	}
	return true
}

// pick is the better of two drawn, or nil if none is wanted.
func (g *aliasTable) pick(w *drawFilter) *endpoint {
	if len(g.endpoints) == 0 {
		return nil
	}
	i := g.first(w)
	if i < 0 {
		return nil
	}
	e := &g.endpoints[i]
	if j := g.second(w, i); j >= 0 {
		if f := &g.endpoints[j]; lessLoaded(f, e) {
			return f
		}
	}
	return e
}

// first draws by weight, or finds the only ones left, or returns -1.
func (g *aliasTable) first(w *drawFilter) int {
	for range 8 {
		if i := g.draw(w.random()); w.accepts(&g.endpoints[i]) {
			return i
		}
	}
	n := len(g.endpoints)
	return g.next(w, int(w.random()>>32*uint64(n)>>32), n)
}

// second draws another than i, or returns -1. Where i is most of the weight, or
// many are not wanted, its neighbors will do: they only have to be compared.
func (g *aliasTable) second(w *drawFilter, i int) int {
	n := len(g.endpoints)
	if n == 1 {
		return -1
	}
	for range 2 {
		if j := g.draw(w.random()); j != i && w.accepts(&g.endpoints[j]) {
			return j
		}
	}
	return g.next(w, (i+1)%n, min(n-1, 8))
}

// next is the index of the first that is wanted among steps from start, or -1.
func (g *aliasTable) next(w *drawFilter, start, steps int) int {
	n := len(g.endpoints)
	for k := range steps {
		if i := (start + k) % n; w.accepts(&g.endpoints[i]) {
			return i
		}
	}
	return -1
}

// full reports whether an endpoint has its share of requests in flight, which
// is spill for one of average weight.
func (g *aliasTable) full(e *endpoint, spill int) bool {
	return float64(e.inflight.Load())*float64(g.weight) >= float64(spill)*float64(e.weight)*float64(len(g.endpoints))
}
