package balance

import (
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// upstream is what this process has seen of an instance at one address. It outlives
// registrations of the same ID and address, and the times at which the instance
// is not callable for as long as requests are in flight to it: their count and
// the connections are kept. Times are nanoseconds since the balancer's start and
// never 0.
type upstream struct {
	// What every pick looks at, in one cache line.
	inflight     atomic.Int64
	latency      atomic.Int64 // recent, in nanoseconds; 0 is unknown
	sampled      atomic.Int64 // when that was
	failures     atomic.Int64 // in a row
	ejectedUntil atomic.Int64 // nanoseconds; 0 if it is not ejected
	ejections    atomic.Int64 // how often it was ejected
	resetAt      atomic.Int64 // when recentEjections is to be reset; 0 if no reset is due
	gone         atomic.Bool  // set after candidates without it were published, unset before some with it

	owner      *Balancer
	id         string
	address    string
	registered time.Time                   // of the watching goroutine
	generation uint64                      // of the last candidates that have it; of the watching goroutine
	transport  atomic.Pointer[connections] // a Transport's connections to it

	// Under the owner's mutex.
	recentEjections int           // since the last reset
	lastEjection    time.Duration // how long the last one was

	_ [32]byte // to three cache lines: the allocator then aligns it to them
}

// endpoint is an instance among the candidates. It never changes.
type endpoint struct {
	*upstream
	info   *registry.ServiceInfo // shared: read only
	weight int64
	share  share
}

const (
	// halfLife is how long it takes a measured latency to count half.
	halfLife = 2 * time.Second
	// latencyNoise is added to latencies before they are compared: stalls
	// shorter than it say nothing of an instance.
	latencyNoise = 5 * time.Millisecond
)

// shouldTime reports whether a request to the upstream is to be timed. Reading the clock
// is a good part of a pick's cost, and says little of an upstream known to be
// far quicker than the noise: of its requests one in 16 will do.
func (n *upstream) shouldTime(random uint64) bool {
	l := n.latency.Load()
	return l == 0 || l >= int64(latencyNoise)/4 || random&15 == 0
}

// recent is the latency, fading while nothing new is measured, so that an
// instance that was slow once is tried again.
func (n *upstream) recent(now int64) int64 {
	l := n.latency.Load()
	if age := now - n.sampled.Load(); age >= int64(halfLife) {
		l >>= min(age/int64(halfLife), 62)
	}
	return l
}

// observe takes a measured latency: a rise counts half, but no single one much
// more than doubles what is known, as any instance may stall once; a fall counts an
// eighth. Of two at once, one may be lost.
func (n *upstream) observe(now, took int64) {
	l := n.recent(now)
	if took > l {
		l += min((took-l+1)/2, l+int64(latencyNoise)/2)
	} else {
		l -= (l - took) / 8
	}
	n.latency.Store(l)
	n.sampled.Store(now)
}

// release ends a request. The last one of an upstream that left wakes the watching
// goroutine if it waits for that.
func (n *upstream) release() {
	if n.inflight.Add(-1) == 0 && n.gone.Load() {
		n.owner.remove(n)
		select {
		case n.owner.quiet <- struct{}{}:
		default:
		}
	}
}

// lessLoaded reports whether j, drawn second, is to be called and not i. What
// is about equal is decided by the draw, which follows the weights.
func lessLoaded(j, i *endpoint) bool {
	fi, fj := i.inflight.Load(), j.inflight.Load()
	if li, lj, differ := latencies(i.upstream, j.upstream); differ {
		return float64(fj+1)*float64(lj)*float64(i.weight) < float64(fi+1)*float64(li)*float64(j.weight)
	}
	if i.weight == j.weight {
		return fj < fi
	}
	// One request of the lighter one is no difference: with few in flight it
	// would undo the weights.
	return fj*i.weight+max(i.weight, j.weight) < fi*j.weight
}

// latencies returns two upstreams' with the noise added, and whether both are known
// and one is over twice the other. It looks at the clock only if they may be.
func latencies(i, j *upstream) (li, lj int64, differ bool) {
	li, lj = i.latency.Load(), j.latency.Load()
	if li == 0 || lj == 0 || max(li, lj) <= int64(latencyNoise) {
		return li, lj, false
	}
	now := i.owner.now()
	if li, lj = i.recent(now), j.recent(now); li == 0 || lj == 0 {
		return li, lj, false
	}
	li, lj = li+int64(latencyNoise), lj+int64(latencyNoise)
	return li, lj, li > 2*lj || lj > 2*li
}
