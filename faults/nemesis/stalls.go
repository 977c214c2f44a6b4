package nemesis

import (
	"sort"
	"time"
)

// MeasuredStall says for how long the machine kept the processes of a history from
// running in a short time.
type MeasuredStall struct {
	From, To Moment
	For      time.Duration
}

// stalls sums the measured stalls of any time, rounded outward to those recorded.
type stalls struct {
	all  []MeasuredStall // in order, without overlaps
	sums []time.Duration // of those before each, and of all
}

func newStalls(all []MeasuredStall) stalls {
	s := stalls{all: all, sums: make([]time.Duration, len(all)+1)}
	for i, one := range all {
		s.sums[i+1] = s.sums[i] + one.For
	}
	return s
}

func (s stalls) between(from, to Moment) time.Duration {
	first := sort.Search(len(s.all), func(i int) bool { return s.all[i].To > from })
	after := sort.Search(len(s.all), func(i int) bool { return s.all[i].From >= to })
	return max(0, s.sums[max(first, after)]-s.sums[first])
}

// by is when something must have ended that began at from and may take d. The
// time d is counted while the machine runs.
func (s stalls) by(from Moment, d time.Duration) Moment {
	to := from + d
	for {
		next := from + d + s.between(from, to)
		if next <= to {
			return to
		}
		to = next
	}
}

// before is the earliest moment at which something can have begun that had taken
// d at to.
func (s stalls) before(to Moment, d time.Duration) Moment {
	from := to - d
	for {
		next := to - d - s.between(from, to)
		if next >= from {
			return from
		}
		from = next
	}
}
