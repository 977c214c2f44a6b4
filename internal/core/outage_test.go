package core

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
	"github.com/rollcall-sd/rollcall/internal/waittest"
)

// The backend refuses writes for long and answers reads, and the owner is alive.
func TestRefusedWritesDropNoInstance(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		owner := start(t, f, "alpha")
		register(t, owner, "g", "a", "x")
		reader := start(t, f, "beta")
		w := watch(t, reader, "g")
		advance(time.Second)
		f.set(func() { f.refuseWrites = true })
		advance(testHeartbeat)
		w.want(false, "a") // nothing can have ended yet
		advance(6 * testTTL)
		w.want(true, "a")
		if stale := w.latest().stale; !errors.Is(stale, store.ErrWritesRefused) {
			t.Errorf("stale because of %v, want that writes are refused", stale)
		}
		fresh := watch(t, start(t, f, "gamma"), "g")
		advance(time.Second)
		fresh.want(true, "a")
		before := time.Now()
		if v, err := reader.Read(t.Context(), "g"); !errors.Is(err, store.ErrWritesRefused) || !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a read gave %v, %v", idsOf(v), err)
		}
		if took := time.Since(before); took > time.Second {
			t.Errorf("Read returned after %v, want at once", took)
		}
		if l, err := reader.ReadLeases(t.Context(), "g"); !errors.Is(err, store.ErrWritesRefused) {
			t.Errorf("a read of leases gave %d entries, %v", len(l), err)
		}
		f.set(func() { f.refuseWrites = false })
		// No read reports an absence before owners had the time for their next try.
		for range 60 {
			if v, err := reader.Read(t.Context(), "g"); err == nil && len(v.Entries) == 0 {
				t.Fatalf("a read reports an absence %v after writes are accepted again", time.Since(before))
			}
			advance(10 * time.Millisecond)
		}
		advance(testHeartbeat)
		w.want(false, "a")
		if at := max(w.first(0, lacks("a")), fresh.first(0, lacks("a"))); at > 0 {
			t.Errorf("after %v a watch was empty", at)
		}
	})
}

// The instance of an owner that died while writes were refused is dropped in time once
// they are accepted.
func TestATrueZeroIsSeenAfterRefusedWrites(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "dies", testTTL, testHeartbeat, testTTL)
		reader := start(t, f, "alpha")
		w := watch(t, reader, "g")
		f.set(func() { f.refuseWrites = true })
		advance(5 * testTTL)
		w.want(true, "dies")
		f.set(func() { f.refuseWrites = false })
		accepted := w.elapsed()
		advance(testLossGrace + time.Second)
		w.want(false)
		gone := w.first(accepted, lacks("dies"))
		if gone < accepted+testHeartbeat || gone > accepted+testLossGrace+time.Second {
			t.Errorf("dropped %v after writes were accepted, want within %v and not before its owner could renew", gone-accepted, testLossGrace+time.Second)
		}
		if v := read(t, reader, "g"); len(v.Entries) != 0 {
			t.Errorf("a read lists %v", idsOf(v))
		}
	})
}

// The backend lost its memory and refuses writes: no owner can register again.
func TestRefusedWritesAfterALossDropNoInstance(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		owner := start(t, f, "alpha")
		register(t, owner, "g", "a", "x")
		reader := start(t, f, "beta")
		w := watch(t, reader, "g")
		advance(time.Second)
		f.set(func() { f.refuseWrites = true; f.model.loseAll() })
		advance(10 * testTTL)
		w.want(true, "a")
		if v, err := reader.Read(t.Context(), "g"); !errors.Is(err, store.ErrWritesRefused) {
			t.Errorf("a read gave %v, %v", idsOf(v), err)
		}
		f.set(func() { f.refuseWrites = false })
		advance(testHeartbeat + time.Second)
		w.want(false, "a")
		if at := w.first(0, lacks("a")); at >= 0 {
			t.Errorf("after %v the watch was empty", at)
		}
	})
}

// A deregistration before writes were refused is evidence.
func TestEvidenceFromBeforeRefusedWritesCounts(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "leaves", testTTL, testHeartbeat, time.Hour)
		f.add("g", "stays", testTTL, testHeartbeat, 5*time.Second)
		w := watch(t, start(t, f, "alpha"), "g")
		advance(time.Second)
		f.set(func() { f.dropPushes = true })
		f.end("g", "leaves", store.ReasonDeregistered)
		f.set(func() { f.refuseWrites = true })
		advance(3 * testTTL)
		w.want(true, "stays")
	})
}

// An outage in which heartbeats fail and reads succeed is logged once.
func TestOneLogLinePerOutage(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		var log bytes.Buffer
		e := New(Config{
			Store: f.open("alpha"), TTL: testTTL, HeartbeatInterval: testHeartbeat, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Decode: func(_ string, r *store.Record) (any, error) { return string(r.Payload), nil },
		})
		register(t, e, "g", "a", "x")
		watch(t, e, "g")
		watch(t, e, "h")
		if _, err := e.Read(context.Background(), "asked once"); err != nil {
			t.Fatal(err)
		}
		f.set(func() { f.refuseWrites = true })
		advance(3 * testTTL)
		if _, err := e.Read(context.Background(), "asked once"); err == nil {
			t.Error("an unknown service is reported as empty while writes are refused")
		}
		f.set(func() { f.refuseWrites = false })
		advance(3 * testTTL)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"backend unavailable", "backend available again"} {
			if n := strings.Count(log.String(), line); n != 1 {
				t.Errorf("%q is logged %d times:\n%s", line, n, log.String())
			}
		}
	})
}

// Different states have different revisions, whatever instances are retained.
func TestRevisionsOfRetainedStatesDiffer(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testHeartbeat, time.Hour)
		f.add("g", "b", testTTL, testHeartbeat, 6*time.Second)
		f.add("g", "c", testTTL, testHeartbeat, time.Hour)
		revisions := map[uint64][]string{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for v := range start(t, f, "alpha").Watch(ctx, "g") {
				shown := make([]string, len(v.Entries))
				for i, e := range v.Entries {
					shown[i] = e.ID + string(rune('0'+e.RegisteredAt%10))
				}
				if was, ok := revisions[v.Revision]; ok && !slices.Equal(was, shown) {
					t.Errorf("%q and %q have one revision", was, shown)
				}
				revisions[v.Revision] = shown
			}
		}()
		advance(time.Second)
		f.set(func() { f.loseRecord("g", "a") })
		advance(9 * time.Second) // a is retained when b expires
		for range 3 {            // lost again and again, and registered again in between
			f.loseAll()
			advance(testHeartbeat)
			f.add("g", "c", testTTL, testHeartbeat, time.Hour)
			advance(testHeartbeat)
		}
		cancel()
		waittest.Receive(t, done, "the watch to end")
		if len(revisions) < 4 {
			t.Errorf("only %d states were shown: %v", len(revisions), revisions)
		}
	})
}

// Writes are accepted at the beginning of a grace period and at its end, and refused
// in between: the owner had no time to renew.
func TestGracePeriodBeginsAgainWhenWritesAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.add("g", "a", testTTL, testHeartbeat, testTTL)
		e := start(t, f, "alpha")
		w := watch(t, e, "g")
		f.set(func() { f.refuseWrites = true })
		advance(2 * testTTL)
		f.set(func() { f.refuseWrites = false })
		advance(testHeartbeat + time.Second)
		g := e.acquireService("g")
		defer e.releaseService(g)
		g.mu.Lock()
		ends := g.hub.retained["a"].graceEnd
		g.mu.Unlock()
		f.set(func() { f.refuseWrites = true })
		advance(time.Until(ends) - 10*time.Millisecond)
		f.set(func() { f.refuseWrites = false })
		advance(testHeartbeat + time.Second)
		w.want(true, "a")
		advance(testLossGrace)
		w.want(false)
	})
}

// Right after an outage a read waits until the expected records are back, or until
// their owners had the time to write them, in a row of reads that all found writes
// accepted.
func TestReadsAfterAnOutageWaitForTheExpected(t *testing.T) {
	entry := &Entry{Record: &store.Record{ID: "a", RegisteredAt: 1}}
	full := &serviceState{entries: map[string]*Entry{"a": entry}, live: []*Entry{entry}}
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	for name, c := range map[string]struct {
		then func(o *outage) error
		want bool // an error
	}{
		"back at once":    {func(o *outage) error { return o.verify(full, nil, at(1), at(1)) }, false},
		"not back at all": {func(o *outage) error { return o.verify(&serviceState{}, nil, at(1), at(1)) }, true},
		"not back after 700 ms of reads": {func(o *outage) (err error) {
			for ms := 0; ms <= 700; ms += 100 {
				err = o.verify(&serviceState{}, nil, at(ms), at(ms))
			}
			return err
		}, false},
		"not back after 700 ms without reads": {func(o *outage) error {
			_ = o.verify(&serviceState{}, nil, at(0), at(0))
			return o.verify(&serviceState{}, nil, at(700), at(700))
		}, true},
		"refused again in between": {func(o *outage) (err error) {
			for ms := 0; ms <= 700; ms += 100 {
				refused := error(nil)
				if ms == 400 {
					refused = errFakeRefused
				}
				state := &serviceState{}
				if refused != nil {
					state = full
				}
				err = o.verify(state, refused, at(ms), at(ms))
			}
			return err
		}, true},
		"it was deregistered": {func(o *outage) error {
			o.applyEvidence(evidence{"a": {ID: "a", Reason: store.ReasonDeregistered, RegisteredAt: 1}})
			return o.verify(&serviceState{}, nil, at(1), at(1))
		}, false},
		"it expired": {func(o *outage) error {
			o.applyEvidence(evidence{"a": {ID: "a", Reason: store.ReasonExpired, RegisteredAt: 1}})
			return o.verify(&serviceState{}, nil, at(1), at(1))
		}, true},
	} {
		var o outage
		o.begin(full)
		if err := c.then(&o); (err != nil) != c.want || err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, want an error: %t", name, err, c.want)
		}
	}
}

// The backend accepts writes for a short time, in which another owner's write shows that
// a lease ended, and fails again before the owner's next try.
func TestASecondOutageStillExpectsTheRecordsOfTheFirst(t *testing.T) {
	for _, how := range []string{"refuses writes", "is down"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				a := f.add("g", "a", testTTL, testHeartbeat, testTTL)
				f.add("g", "b", testTTL, testHeartbeat, time.Hour)
				reader := start(t, f, "alpha")
				read(t, reader, "g")
				once := func() error {
					ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
					defer cancel()
					v, err := reader.Read(ctx, "g")
					if err == nil {
						t.Errorf("a read gave %v", idsOf(v))
					}
					return err
				}
				f.set(func() { f.refuseWrites = true })
				advance(2 * testTTL)
				once()
				f.set(func() { f.refuseWrites = false })
				f.end("g", "b", store.ReasonDeregistered) // which also ends the lease of a
				once()
				if how == "is down" {
					f.set(func() { f.down = true })
				} else {
					f.add("g", "c", testTTL, testHeartbeat, time.Millisecond)
					advance(2 * time.Millisecond)
					f.set(func() { f.refuseWrites = true })
				}
				once()
				f.set(func() { f.down, f.refuseWrites = false, false })
				back := make(chan struct{})
				time.AfterFunc(maxRetryPause, func() {
					defer close(back)
					again := *a
					again.ExpiresAt = f.now() + time.Hour.Microseconds()
					f.write("g", again)
				})
				if v := read(t, reader, "g"); !slices.Contains(idsOf(v), "a") {
					t.Errorf("a read lists %v before the owner of a could renew it", idsOf(v))
				}
				waittest.Receive(t, back, "the owner to write again")
			})
		})
	}
}

// After an outage reads succeed whatever the latency, if they are answered in time.
func TestReadsAfterAnOutageSucceedWithAnyLatency(t *testing.T) {
	for _, slow := range []time.Duration{0, 100 * time.Millisecond, 350 * time.Millisecond, 650 * time.Millisecond} {
		t.Run(slow.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				f.add("g", "dies", testTTL, testHeartbeat, testTTL)
				e := start(t, f, "alpha")
				read(t, e, "g")
				f.set(func() { f.down = true })
				if _, err := e.Read(t.Context(), "g"); err == nil {
					t.Fatal("a read succeeded without a backend")
				}
				advance(testTTL)
				f.set(func() { f.down, f.latency = false, slow })
				if v := read(t, e, "g"); len(v.Entries) != 0 {
					t.Errorf("a read lists %v", idsOf(v))
				}
			})
		})
	}
}
