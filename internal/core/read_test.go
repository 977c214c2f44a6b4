package core

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
	"github.com/rollcall-sd/rollcall/internal/waittest"
)

func TestConcurrentReadsShareOneThatStartsAfterTheirCall(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.latency, f.answerEarly = 100*time.Millisecond, true // a read answers with the state at its beginning
		began := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if v := read(t, e, "g"); len(v.Entries) != 0 {
				t.Errorf("the first caller got %v", idsOf(v))
			}
		})
		advance(40 * time.Millisecond)
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		for range 10 {
			wg.Go(func() {
				v := read(t, e, "g")
				if !slices.Equal(idsOf(v), []string{"a"}) {
					t.Errorf("a call after the change got %v", idsOf(v))
				}
				if took := time.Since(began); took != 200*time.Millisecond {
					t.Errorf("answered after %v, want 200ms", took)
				}
				if v.AsOf.Before(began.Add(40 * time.Millisecond)) {
					t.Errorf("the state is of %v after the start", v.AsOf.Sub(began))
				}
			})
		}
		wg.Wait()
		if n := f.readCount(); n != 2 {
			t.Errorf("%d reads for 11 callers, want 2", n)
		}
	})
}

func TestEachReadEndsWithItsOwnContext(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		f.latency = 100 * time.Millisecond
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		short, cancelShort := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancelShort()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := e.Read(ctx, "g"); !errors.Is(err, context.Canceled) || time.Since(began) != 50*time.Millisecond {
				t.Errorf("cancelled after 50ms, answered after %v with %v", time.Since(began), err)
			}
		})
		wg.Go(func() {
			if _, err := e.Read(short, "g"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 30*time.Millisecond {
				t.Errorf("deadline after 30ms, answered after %v with %v", time.Since(began), err)
			}
		})
		wg.Go(func() { read(t, e, "g") })
		advance(50 * time.Millisecond)
		cancel()
		wg.Wait()
		if _, err := e.Read(ctx, "g"); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
	})
}

func TestReadRetriesUntilItsDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		f.set(func() { f.down = true })
		began := time.Now()
		time.AfterFunc(time.Second, func() { f.set(func() { f.down = false }) })
		read(t, e, "g")
		if took := time.Since(began); took < time.Second || took > 1500*time.Millisecond {
			t.Errorf("back after 1s, answered after %v", took)
		}
		f.set(func() { f.down = true })
		began = time.Now()
		_, err := e.Read(t.Context(), "g")
		if !errors.Is(err, store.ErrUnavailable) || time.Since(began) > defaultReadTimeout {
			t.Errorf("failed after %v with %v, want ErrUnavailable within %v", time.Since(began), err, defaultReadTimeout)
		}
	})
}

func TestReadReturnsWhatTheBackendHolds(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.add("g", "a", testTTL, testHeartbeat, 5*time.Second)
		f.add("g", "b", testTTL, testHeartbeat, time.Hour)
		w := watch(t, e, "g")
		if got := idsOf(read(t, e, "g")); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("got %v", got)
		}
		advance(5*time.Second + time.Millisecond)
		if got := idsOf(read(t, e, "g")); !slices.Equal(got, []string{"b"}) {
			t.Errorf("after the expiry: %v", got)
		}
		f.loseAll()
		if got := idsOf(read(t, e, "g")); len(got) != 0 {
			t.Errorf("after a loss: %v", got)
		}
		w.want(true, "a", "b") // a watch retains them
	})
}

func TestAMalformedRecordIsLeftOutAndReportedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		var reported []string
		e := start(t, f, "alpha")
		e.cfg.Decode = func(_ string, r *store.Record) (any, error) {
			if r.ID == "bad" {
				return nil, errors.New("bad")
			}
			return "", nil
		}
		e.cfg.Hooks.Malformed = func(_, id string) { reported = append(reported, id) }
		f.add("g", "good", testTTL, testHeartbeat, time.Hour)
		f.add("g", "bad", testTTL, testHeartbeat, time.Hour)
		w := watch(t, e, "g")
		w.want(false, "good")
		for range 3 {
			f.add("g", "more", testTTL, testHeartbeat, time.Hour)
			read(t, e, "g")
		}
		w.want(false, "good", "more")
		synctest.Wait()
		if !slices.Equal(reported, []string{"bad"}) {
			t.Errorf("reported %v", reported)
		}
	})
}

func TestUnchangedContentIsShared(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		first := read(t, e, "g")
		f.extend("g", "a", 2*time.Hour)
		second := read(t, e, "g")
		if first.Content != second.Content {
			t.Error("a read that found no change made new content")
		}
		f.add("g", "b", testTTL, testHeartbeat, time.Hour)
		third := read(t, e, "g")
		if third.Revision == first.Revision || third.Entries[0] != first.Entries[0] || len(first.Entries) != 1 {
			t.Error("a change replaced the other entries, or left the revision")
		}
	})
}

// A record that can no longer be read is left out of the state.
func TestADeltaDropsMalformedRecords(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		g := &service{engine: start(t, f, "alpha"), name: "g"}
		records := []*store.Record{{ID: "i", RegisteredAt: 1, TTL: time.Second}, {ID: "j", RegisteredAt: 2, TTL: time.Second}}
		g.state.applyDelta(&store.Reading{Kind: store.Delta, Rev: "1", Records: records}, g.engine.decoder("g"))
		unreadable := &store.Reading{Kind: store.Delta, Rev: "2", Malformed: []string{"i", "unknown"}}
		if gone := g.state.mayEnd(unreadable); len(gone) != 1 || gone[0].ID != "i" {
			t.Errorf("the delta may end %v, want i", gone)
		}
		g.state.applyDelta(unreadable, g.engine.decoder("g"))
		if got := idsOf(View{Content: g.state.content()}); !slices.Equal(got, []string{"j"}) {
			t.Errorf("left are %v", got)
		}
	})
}

// A record that is read again is recognized by its sum, though its payload is gone.
func TestAFullReadingDecodesOnlyWhatChanged(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		e.cfg.Decode = func(_ string, r *store.Record) (any, error) {
			v := string(r.Payload)
			r.Payload = nil
			return v, nil
		}
		g := &service{engine: e, name: "g"}
		full := func(rev, first, overlay string) []*Entry {
			g.state.applyFull(&store.Reading{Rev: rev, Records: []*store.Record{
				{ID: "a", Owner: "o", RegisteredAt: 1, Payload: []byte(first), Overlay: []byte(overlay)},
				{ID: "b", Owner: "o", RegisteredAt: 2, Payload: []byte("b")},
			}}, e.decoder("g"))
			return g.state.content().Entries
		}
		was := full("1", "a", "")
		if same := full("2", "a", ""); same[0] != was[0] || same[1] != was[1] {
			t.Error("a record that did not change was decoded again")
		}
		if now := full("3", "A", ""); now[0].Value != "A" || now[1] != was[1] {
			t.Errorf("another payload: %+v, %+v", now[0], now[1])
		}
		if now := full("4", "A", "{}"); string(now[0].Overlay) != "{}" || now[1] != was[1] {
			t.Errorf("another overlay: %+v, %+v", now[0], now[1])
		}
	})
}

// A read whose deadline passes while the backend is unavailable says so in its error.
func TestAFailedReadSaysThatTheBackendIsUnavailable(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		for name, fails := range map[string]func(){"refuses": func() { f.down = true }, "hangs": func() { f.frozen = true }} {
			f.set(fails)
			ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
			began := time.Now()
			_, err := e.Read(ctx, "g")
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("a backend that %s: %v", name, err)
			}
			if took := time.Since(began); took > 2500*time.Millisecond {
				t.Errorf("a backend that %s: it took %v", name, took)
			}
			cancel()
			f.set(func() { f.down, f.frozen = false, false })
		}
	})
}

// ReadLeases tries again after a failure, as Read does.
func TestReadLeasesRetries(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		f.add("g", "b", testTTL, testHeartbeat, time.Hour)
		e := start(t, f, "alpha")
		read(t, e, "g")
		f.set(func() { f.down = true })
		time.AfterFunc(time.Second, func() { f.set(func() { f.down = false }) })
		l, err := e.ReadLeases(t.Context(), "g")
		if err != nil || len(l) != 2 {
			t.Errorf("%d leases, %v", len(l), err)
		}
		f.set(func() { f.down = true })
		before := time.Now()
		if _, err := e.ReadLeases(t.Context(), "g"); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("without a backend: %v", err)
		}
		if took := time.Since(before); took > defaultReadTimeout {
			t.Errorf("ReadLeases returned after %v", took)
		}
	})
}

// ReadLeases does not wait for an instance that was deregistered during an outage.
func TestReadLeasesUsesEvidence(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		f.add("g", "b", testTTL, testHeartbeat, time.Hour)
		e := start(t, f, "alpha")
		read(t, e, "g")
		f.set(func() { f.down = true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := e.Read(ctx, "g"); err == nil {
			t.Fatal("a read succeeded without a backend")
		}
		f.set(func() { f.down = false })
		f.end("g", "a", store.ReasonDeregistered)
		before := time.Now()
		l, err := e.ReadLeases(t.Context(), "g")
		if err != nil || len(l) != 1 || time.Since(before) > 0 {
			t.Errorf("%d leases, %v, after %v", len(l), err, time.Since(before))
		}
	})
}

// silentStore is a store whose reads are never answered.
type silentStore struct{ store.Store }

func (silentStore) Read(string, store.KnownState, func(store.Reading, error)) {}

func TestReadLeasesEndsWithItsEngine(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := startOn(t, silentStore{f.open("alpha")})
		answer := make(chan error)
		go func() {
			_, err := e.ReadLeases(context.Background(), "g")
			answer <- err
		}()
		advance(time.Millisecond)
		e.Close()
		closed := time.Now()
		if err := waittest.Receive(t, answer, "ReadLeases to end after Close"); !errors.Is(err, store.ErrClosed) {
			t.Errorf("ReadLeases returned %v", err)
		}
		if took := time.Since(closed); took > time.Second {
			t.Errorf("ReadLeases returned %v after Close, want within a second", took)
		}
	})
}

// After an outage ReadLeases makes sure that writes are accepted before it reports an
// absence.
func TestReadLeasesProvesWritesAfterAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testHeartbeat, testTTL)
		f.add("g", "b", testTTL, testHeartbeat, time.Hour)
		e := start(t, f, "alpha")
		read(t, e, "g")
		f.set(func() { f.refuseWrites = true })
		advance(2 * testTTL)
		if _, err := e.Read(t.Context(), "g"); !errors.Is(err, store.ErrWritesRefused) {
			t.Fatalf("a read while writes are refused: %v", err)
		}
		f.end("g", "b", store.ReasonDeregistered) // accepted, which also ends the lease of a; then writes are refused again
		if l, err := e.ReadLeases(t.Context(), "g"); !errors.Is(err, store.ErrWritesRefused) {
			t.Errorf("%d leases, %v, want that writes are refused", len(l), err)
		}
	})
}
