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
)

func TestReadsAtOnceShareOneThatStartsAfterTheirCall(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.latency, f.answerEarly = 100*time.Millisecond, true // a read brings what stood when it began
		began := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if v := read(t, e, "g"); len(v.Entries) != 0 {
				t.Errorf("the first caller was given %v", names(v))
			}
		})
		pass(40 * time.Millisecond)
		f.add("g", "a", testTTL, testBeat, time.Hour)
		for range 10 {
			wg.Go(func() {
				v := read(t, e, "g")
				if !slices.Equal(names(v), []string{"a"}) {
					t.Errorf("called after the change and was given %v", names(v))
				}
				if took := time.Since(began); took != 200*time.Millisecond {
					t.Errorf("answered after %v, want 200ms", took)
				}
				if v.AsOf.Before(began.Add(40 * time.Millisecond)) {
					t.Errorf("as of %v after the beginning", v.AsOf.Sub(began))
				}
			})
		}
		wg.Wait()
		if n := f.readCount(); n != 2 {
			t.Errorf("%d reads for 11 callers, want 2", n)
		}
	})
}

func TestEachReaderKeepsItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.add("g", "a", testTTL, testBeat, time.Hour)
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
		pass(50 * time.Millisecond)
		cancel()
		wg.Wait()
		if _, err := e.Read(ctx, "g"); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
	})
}

func TestReadTriesAgainForAWhile(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.add("g", "a", testTTL, testBeat, time.Hour)
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

func TestReadSaysWhatTheBackendHolds(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		f.add("g", "a", testTTL, testBeat, 5*time.Second)
		f.add("g", "b", testTTL, testBeat, time.Hour)
		w := watch(t, e, "g")
		if got := names(read(t, e, "g")); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("got %v", got)
		}
		pass(5*time.Second + time.Millisecond)
		if got := names(read(t, e, "g")); !slices.Equal(got, []string{"b"}) {
			t.Errorf("after the expiry: %v", got)
		}
		f.loseAll()
		if got := names(read(t, e, "g")); len(got) != 0 {
			t.Errorf("after a loss: %v", got)
		}
		w.want(true, "a", "b") // which a watch holds
	})
}

func TestABadRecordIsLeftOutAndReportedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		var reported []string
		e := start(t, f, "alpha")
		e.cfg.Decode = func(_ string, r *store.Record) (any, error) {
			if r.ID == "bad" {
				return nil, errors.New("bad")
			}
			return "", nil
		}
		e.cfg.Hooks.BadRecord = func(_, id string) { reported = append(reported, id) }
		f.add("g", "good", testTTL, testBeat, time.Hour)
		f.add("g", "bad", testTTL, testBeat, time.Hour)
		w := watch(t, e, "g")
		w.want(false, "good")
		for range 3 {
			f.add("g", "more", testTTL, testBeat, time.Hour)
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
		f.add("g", "a", testTTL, testBeat, time.Hour)
		first := read(t, e, "g")
		f.extend("g", "a", 2*time.Hour)
		second := read(t, e, "g")
		if first.Content != second.Content {
			t.Error("a read that brought nothing new made new content")
		}
		f.add("g", "b", testTTL, testBeat, time.Hour)
		third := read(t, e, "g")
		if third.Revision == first.Revision || third.Entries[0] != first.Entries[0] || len(first.Entries) != 1 {
			t.Error("a change touched what stays, or the revision did not move")
		}
	})
}

// What cannot be read any more is left out, however that was learned.
func TestADeltaLeavesOutWhatCannotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		g := &service{engine: start(t, f, "alpha"), name: "g"}
		records := []*store.Record{{ID: "i", RegisteredAt: 1, TTL: time.Second}, {ID: "j", RegisteredAt: 2, TTL: time.Second}}
		g.state.applyDelta(&store.Reading{Kind: store.Delta, Rev: "1", Records: records}, g.engine.decoder("g"))
		unreadable := &store.Reading{Kind: store.Delta, Rev: "2", Malformed: []string{"i", "unknown"}}
		if gone := g.state.mayEnd(unreadable); len(gone) != 1 || gone[0].ID != "i" {
			t.Errorf("gone are %v", gone)
		}
		g.state.applyDelta(unreadable, g.engine.decoder("g"))
		if got := names(View{Content: g.state.content()}); !slices.Equal(got, []string{"j"}) {
			t.Errorf("left are %v", got)
		}
	})
}

// A record read again is known by its sum, though its payload was let go.
func TestAFullReadingDecodesWhatChanged(t *testing.T) {
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
			t.Error("what did not change was decoded again")
		}
		if now := full("3", "A", ""); now[0].Value != "A" || now[1] != was[1] {
			t.Errorf("another payload: %+v, %+v", now[0], now[1])
		}
		if now := full("4", "A", "{}"); string(now[0].Overlay) != "{}" || now[1] != was[1] {
			t.Errorf("another overlay: %+v, %+v", now[0], now[1])
		}
	})
}

// Who asks while the backend is away hears that it is, not just that his time is over.
func TestAReadInVainSaysWhy(t *testing.T) {
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

// A read of leases goes through what fails in passing, as any other.
func TestReadOfLeasesTriesAgain(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testBeat, time.Hour)
		f.add("g", "b", testTTL, testBeat, time.Hour)
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
			t.Errorf("it gave up after %v", took)
		}
	})
}

// What was deregistered during an outage is no reason to doubt what a read of leases lists.
func TestReadOfLeasesTakesEvidence(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testBeat, time.Hour)
		f.add("g", "b", testTTL, testBeat, time.Hour)
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

// mute is a store whose reads are never answered.
type mute struct{ store.Store }

func (mute) Read(string, store.KnownState, func(store.Reading, error)) {}

func TestReadOfLeasesEndsWithItsEngine(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := startOn(t, mute{f.open("alpha")}, "alpha")
		answer := make(chan error)
		go func() {
			_, err := e.ReadLeases(context.Background(), "g")
			answer <- err
		}()
		pass(time.Millisecond)
		e.Close()
		select {
		case err := <-answer:
			if !errors.Is(err, store.ErrClosed) {
				t.Errorf("it ended with %v", err)
			}
		case <-time.After(time.Second):
			t.Fatal("a read of leases has not ended 1 s after Close")
		}
	})
}

// After an outage reads of leases, too, make sure that writes are accepted before
// they settle for what is stored.
func TestReadOfLeasesProvesAfterAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testBeat, testTTL)
		f.add("g", "b", testTTL, testBeat, time.Hour)
		e := start(t, f, "alpha")
		read(t, e, "g")
		f.set(func() { f.refuseWrites = true })
		pass(2 * testTTL)
		if _, err := e.Read(t.Context(), "g"); !errors.Is(err, store.ErrWritesRefused) {
			t.Fatalf("a read while writes are refused: %v", err)
		}
		f.end("g", "b", store.ReasonDeregistered) // accepted, which shows the end of a, and then refused again
		if l, err := e.ReadLeases(t.Context(), "g"); !errors.Is(err, store.ErrWritesRefused) {
			t.Errorf("%d leases, %v, want that writes are refused", len(l), err)
		}
	})
}
