package waittest

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// counting yields 1, 2 and 3, a second apart, and ends with its context.
func counting(ctx context.Context) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range 3 {
			if !yield(i + 1) {
				return
			}
			time.Sleep(time.Second)
		}
		<-ctx.Done()
	}
}

// failing is a test whose failure is kept.
type failing struct {
	testing.TB
	text string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	panic(f)
}

func failure(t testing.TB, wait func(t testing.TB)) string {
	f := &failing{TB: t}
	func() {
		defer func() { _ = recover() }()
		wait(f)
	}()
	return f.text
}

func TestWaitsEndAtTheLimitAndSayForWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := Receive(t, time.After(Limit-time.Second), "a value"); got.IsZero() {
			t.Error("no value was received")
		}
		if got := State(t, counting, "two", func(n int) bool { return n == 2 }); got != 2 {
			t.Errorf("State = %d, want 2", got)
		}
		for _, wait := range []func(t testing.TB){
			func(t testing.TB) { Receive(t, make(chan int), "the answer") },
			func(t testing.TB) { State(t, counting, "the answer", func(n int) bool { return n == 42 }) },
			func(t testing.TB) { Eventually(t, "the answer", func() bool { return false }) },
		} {
			began := time.Now()
			text := failure(t, wait)
			if took := time.Since(began); took != Limit || !strings.Contains(text, "for the answer") {
				t.Errorf("after %v a wait failed with %q, want after %v, and what it waited for", took, text, Limit)
			}
		}
	})
}

func TestARecordingHasAllStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := Record(t, counting)
		Receive(t, r.Started(), "the first state")
		time.Sleep(time.Minute)
		if r.Ended() {
			t.Error("the watch has ended")
		}
		r.Stop()
		Receive(t, r.Done(), "the watch to end")
		if !r.Ended() {
			t.Error("the watch has not ended")
		}
		all := r.All()
		if len(all) != 3 {
			t.Fatalf("%d observations, want 3", len(all))
		}
		for i, o := range all {
			if want := began.Add(time.Duration(i) * time.Second); o.State != i+1 || !o.At.Equal(want) {
				t.Errorf("observation %d is %+v, want state %d at %v", i, o, i+1, want)
			}
		}
		if last, ok := r.Last(); !ok || last.State != 3 {
			t.Errorf("Last = %+v, %v", last, ok)
		}
	})
}

func TestARecordingOfNothing(t *testing.T) {
	r := Record(t, func(context.Context) iter.Seq[int] { return func(func(int) bool) {} })
	Receive(t, r.Done(), "the watch to end")
	if o, ok := r.Last(); ok || len(r.All()) != 0 {
		t.Errorf("Last = %+v", o)
	}
}
