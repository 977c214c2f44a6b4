// Package measure times variants of the same work against each other.
package measure

import (
	"math"
	"slices"
	"time"
)

// Variant is one way of doing the work. Run does it n times and returns the
// time that counts, so that a variant may leave its preparations out. Doing it
// once may be several operations; 0 means 1.
type Variant struct {
	Name       string
	Operations int
	Run        func(n int) time.Duration
}

func (v Variant) operations() float64 { return float64(max(v.Operations, 1)) }

// Timed makes a Variant of which everything counts.
func Timed(name string, run func(n int)) Variant {
	return Variant{Name: name, Run: func(n int) time.Duration {
		start := time.Now()
		run(n)
		return time.Since(start)
	}}
}

// Each makes a Variant of an operation that is done one after the other.
func Each(name string, op func()) Variant {
	return Timed(name, func(n int) {
		for range n {
			op()
		}
	})
}

// Result holds, by variant and round, the time of one operation in nanoseconds.
type Result struct {
	names  []string
	rounds [][]float64
}

// maxOps bounds how often an operation is done in one slice.
const maxOps = 50_000_000

// Interleave runs the variants in turn, rounds times over, each for about slice
// per round. Each variant's number of operations is found before the first
// round and stays.
func Interleave(rounds int, slice time.Duration, variants ...Variant) *Result {
	r := &Result{rounds: make([][]float64, len(variants))}
	counts := make([]int, len(variants))
	for i, v := range variants {
		r.names = append(r.names, v.Name)
		counts[i] = calibrate(v, slice)
	}
	for round := range rounds {
		for j := range variants {
			// Every other round in the reverse order: the second one finds
			// the caches as the first left them.
			i := j
			if round%2 == 1 {
				i = len(variants) - 1 - j
			}
			took := variants[i].Run(counts[i])
			r.rounds[i] = append(r.rounds[i], float64(took.Nanoseconds())/float64(counts[i])/variants[i].operations())
		}
	}
	return r
}

func calibrate(v Variant, slice time.Duration) int {
	n := 1
	for {
		took := v.Run(n)
		if took >= slice/2 || n >= maxOps {
			per := max(took.Seconds()/float64(n), 1e-10)
			return int(min(max(slice.Seconds()/per, 1), maxOps))
		}
		grow := 10.0
		if took > slice/20 {
			grow = 1 + slice.Seconds()/took.Seconds()
		}
		n = int(float64(n) * grow)
	}
}

// Add appends a round measured elsewhere.
func (r *Result) Add(name string, ns float64) {
	i := slices.Index(r.names, name)
	if i < 0 {
		i = len(r.names)
		r.names, r.rounds = append(r.names, name), append(r.rounds, nil)
	}
	r.rounds[i] = append(r.rounds[i], ns)
}

// Time returns a variant's time of one operation in nanoseconds.
func (r *Result) Time(name string) Sample { return r.of(name) }

// Ratio returns, over the rounds, the time of one variant divided by another's.
func (r *Result) Ratio(of, by string) Sample {
	a, b := r.of(of), r.of(by)
	out := make(Sample, min(len(a), len(b)))
	for i := range out {
		out[i] = a[i] / b[i]
	}
	return out
}

func (r *Result) of(name string) Sample {
	i := slices.Index(r.names, name)
	if i < 0 {
		panic("no variant " + name)
	}
	return r.rounds[i]
}

// Sample is one figure measured several times.
type Sample []float64

// Quantile returns the value below which a share q of the sample lies.
func (s Sample) Quantile(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// Median returns the middle of the sample.
func (s Sample) Median() float64 { return s.Quantile(0.5) }

// Spread returns the quarters: half of the sample lies between them.
func (s Sample) Spread() (low, high float64) { return s.Quantile(0.25), s.Quantile(0.75) }
