package core

import (
	"context"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// slowAnswers writes reregistrations at once, and answers the first after delay.
type slowAnswers struct {
	store.Store
	delay time.Duration
	began chan struct{} // closed when the first is written
}

func (s *slowAnswers) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	results := s.Store.Put(ctx, puts)
	if puts[0].Reregister && s.delay > 0 {
		answer := time.NewTimer(s.delay)
		defer answer.Stop()
		s.delay = 0
		close(s.began)
		select {
		case <-answer.C:
		case <-ctx.Done():
		}
	}
	return results
}

// A registration is lost again after it was written, and a heartbeat finds that
// before the write is answered.
func TestLostAgainBeforeTheReregistrationIsAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		const delay = testHeartbeat + testHeartbeat/20 // one heartbeat comes meanwhile, and the next much later
		s := &slowAnswers{Store: f.open("alpha"), delay: delay, began: make(chan struct{})}
		e := startOn(t, s)
		register(t, e, "web", "x", "x")
		f.loseAll()
		select {
		case <-s.began:
		case <-time.After(2 * testHeartbeat):
			t.Fatal("no reregistration within two heartbeats")
		}
		f.loseAll()
		advance(delay + time.Millisecond)
		if got := idsOf(read(t, e, "web")); len(got) != 1 {
			t.Errorf("after the answer there are %v, want x without a further heartbeat", got)
		}
	})
}

func TestReregisterBoundAdapts(t *testing.T) {
	bound := reregisterBound(minReregisterBytes)
	bound.adapt(1000, time.Millisecond, false)
	if bound != minReregisterBytes {
		t.Errorf("a quick small batch makes the bound %d", bound)
	}
	for range 10 {
		bound.adapt(int(bound), time.Millisecond, false)
	}
	if bound != maxReregisterBytes {
		t.Errorf("quick batches make the bound %d, want %d", bound, maxReregisterBytes)
	}
	slow := bound
	slow.adapt(int(slow), 2*slowReregister, false)
	failed := bound
	failed.adapt(int(failed), time.Millisecond, true)
	if slow != minReregisterBytes || failed != minReregisterBytes {
		t.Errorf("a slow batch makes the bound %d, a failed one %d, want %d", slow, failed, minReregisterBytes)
	}
}

func TestManySmallReregistrationsTakeFewBatches(t *testing.T) {
	var regs []*registration
	for range 10_000 {
		regs = append(regs, &registration{service: "a", payload: make([]byte, 50)})
	}
	bound, batches := reregisterBound(minReregisterBytes), 0
	for rest := regs; len(rest) > 0; batches++ {
		batch := rest[:bound.batchLen(rest)]
		rest = rest[len(batch):]
		bound.adapt(wireBytes(batch), time.Millisecond, false)
	}
	if batches > 3 {
		t.Errorf("a quick line takes %d batches, want 3", batches)
	}
}
