package core

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// slowReregistrations is a store with a limited bandwidth for reregistrations.
type slowReregistrations struct {
	store.Store
	perSecond int // bytes

	mu      sync.Mutex
	order   []string
	batches int
}

func (s *slowReregistrations) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	if !puts[0].Reregister {
		return s.Store.Put(ctx, puts)
	}
	bytes := 0
	for _, p := range puts {
		bytes += len(p.Payload)
	}
	transfer := time.NewTimer(time.Duration(bytes) * time.Second / time.Duration(s.perSecond))
	defer transfer.Stop()
	select {
	case <-transfer.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.batches++
	for _, p := range puts {
		s.order = append(s.order, p.ID)
	}
	s.mu.Unlock()
	return s.Store.Put(ctx, puts)
}

func TestHeartbeatsContinueDuringALargeReregistration(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		slow := &slowReregistrations{Store: f.open("alpha"), perSecond: 100_000}
		e := startOn(t, slow)
		const n = 300 // 12 MB, which take two minutes
		for i := range n {
			register(t, e, "big", fmt.Sprint("big-", i), strings.Repeat("x", 40_000))
		}
		register(t, e, "tiny", "x", "x")
		f.loseAll()
		began := time.Now()
		advance(testHeartbeat + time.Second)
		if got := idsOf(read(t, e, "tiny")); len(got) != 1 {
			t.Errorf("the small registration waits for the large ones: %v", got)
		}
		for len(read(t, e, "big").Entries) < n {
			if time.Since(began) > 3*time.Minute {
				t.Fatalf("%d of %d are back after %v", len(read(t, e, "big").Entries), n, time.Since(began))
			}
			advance(time.Second)
			if got := idsOf(read(t, e, "tiny")); len(got) != 1 {
				t.Fatalf("the small registration is missing again %v after the loss", time.Since(began))
			}
		}
		if longest, _ := f.renewalGap("tiny", began); longest > testHeartbeat {
			t.Errorf("two heartbeats are %v apart, more than %v", longest, testHeartbeat)
		}
		slow.mu.Lock()
		defer slow.mu.Unlock()
		if len(slow.order) != n+1 {
			t.Errorf("%d reregistrations were sent for %d", len(slow.order), n+1)
		}
		if slow.order[0] != "x" {
			t.Errorf("%q was sent first", slow.order[0])
		}
		if minimum := n * 40_000 / minReregisterBytes; slow.batches < minimum {
			t.Errorf("sent in %d batches, want at least %d", slow.batches, minimum)
		}
	})
}

func TestReregistrationsAreFair(t *testing.T) {
	var regs []*registration
	for i := range 100 {
		regs = append(regs, &registration{service: "a", id: fmt.Sprint("a", i), payload: make([]byte, 10_000)})
	}
	for _, g := range []string{"b", "c"} {
		for i := range 10 {
			regs = append(regs, &registration{service: g, id: fmt.Sprint(g, i), payload: make([]byte, 300)})
		}
	}
	got := map[string]int{}
	for _, r := range fairOrder(regs)[:21] {
		got[r.service]++
	}
	if got["b"] != 10 || got["c"] != 10 {
		t.Errorf("of the first 21 there are %v", got)
	}
}
