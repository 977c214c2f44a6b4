package balance

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// failsAlways makes n requests to instances that all fail. It returns how many reach
// them, and the errors.
func failsAlways(t *testing.T, n int, options ...Option) (sent int, failures []error) {
	t.Helper()
	r := localRegistry(t)
	var counts []func() int
	for i := range 4 {
		counts = append(counts, hangUp(t, r, fmt.Sprint("i", i)))
	}
	c, _ := client(t, r, append([]Option{never()}, options...)...)
	for range n {
		_, err := send(t, c, http.MethodGet, "http://api/", nil)
		if err == nil {
			t.Fatal("a broken instance answered")
		}
		failures = append(failures, err)
	}
	for _, count := range counts {
		sent += count()
	}
	return sent, failures
}

func TestRetriesAreAFractionWhenAllInstancesFail(t *testing.T) {
	const requests = 400
	start := time.Now()
	sent, failures := failsAlways(t, requests)
	// A fifth, the floor's reserve of 20, and 10 for each second that it took.
	most := requests*12/10 + 20 + 10*int(time.Since(start)/time.Second+1)
	if sent <= requests || sent > most {
		t.Errorf("%d requests were sent for %d, want at most %d", sent, requests, most)
	}
	// Not all say so: the budget has 10 more each second.
	if !slices.ContainsFunc(failures, func(err error) bool { return strings.Contains(err.Error(), "retry budget is used up") }) {
		t.Errorf("no error says why its request was not repeated; the last: %v", failures[len(failures)-1])
	}
}

func TestTheRetryBudgetCanBeSet(t *testing.T) {
	for name, c := range map[string]struct {
		budget RetryBudget
		want   int
	}{
		"no limit":       {RetryBudget{Fraction: -1}, 100 * DefaultTries},
		"a fraction":     {RetryBudget{Fraction: 0.5, PerSecond: -1}, 150},
		"almost nothing": {RetryBudget{Fraction: 1e-9, PerSecond: -1}, 100},
	} {
		if sent, _ := failsAlways(t, 100, WithRetryBudget(c.budget)); sent != c.want {
			t.Errorf("%s: %d requests were sent for 100, want %d", name, sent, c.want)
		}
	}
	for name, b := range map[string]RetryBudget{"NaN": {Fraction: math.NaN()}, "infinite": {PerSecond: math.Inf(1)}} {
		if _, err := NewTransport(localRegistry(t), WithRetryBudget(b)); !errors.Is(err, registry.ErrInvalidConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheRetryBudgetFillsWithTime(t *testing.T) {
	newBudget := func(fraction, perSecond float64) *retryBudget {
		return &retryBudget{limits: RetryBudget{Fraction: fraction, PerSecond: perSecond}}
	}
	takes := func(b *retryBudget, now time.Duration) (n int) {
		for n < 10_000 {
			if _, ok := b.take(int64(now) + 1); !ok {
				break
			}
			n++
		}
		return n
	}
	expect := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	b := newBudget(0.2, 10)
	expect("at first", takes(b, 0), 20)
	expect("half a second later", takes(b, 500*time.Millisecond), 5)
	expect("an hour later", takes(b, time.Hour), 20)
	for range 100 {
		b.begin(int64(time.Hour) + 1)
	}
	expect("a fifth of 100", takes(b, time.Hour), 20)
	for range 100 {
		b.end()
	}
	expect("10 s later, the requests do not count", takes(b, time.Hour+budgetWindow*time.Second), 20)

	b = newBudget(0.2, -1)
	for range 100 {
		b.begin(1)
	}
	expect("100 under way for an hour", takes(b, time.Hour), 20)
	from, ok := newBudget(1, 0.3).take(1)
	if from != perSecond || !ok {
		t.Error("under one per second: nothing at first")
	}

	b = newBudget(0.2, 10)
	from, _ = b.take(1)
	b.giveBack(from, 1)
	expect("one given back", takes(b, 0), 20)
}

// Connections that no server accepts cost no instance anything.
func TestRefusedConnectionsCostNoRetryBudget(t *testing.T) {
	r := localRegistry(t)
	for i := range 3 {
		refuse(t, r, fmt.Sprint("i", i))
	}
	serve(t, r, "a", nil)
	c, _ := client(t, r, never(), WithRetryBudget(RetryBudget{Fraction: 1e-9, PerSecond: -1}))
	for range 100 {
		get(t, c, "http://api/")
	}
}
