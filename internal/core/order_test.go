package core

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// ordered is a store whose calls take effect in one order and are answered in another.
type ordered struct {
	store.Store
	mu      sync.Mutex
	waiting []*waitingCall
}

type waitingCall struct {
	what     string // the payload, or "remove"
	run      func()
	ran, say chan struct{}
}

func (o *ordered) wait(what string, run func()) {
	c := &waitingCall{what, run, make(chan struct{}), make(chan struct{})}
	o.mu.Lock()
	o.waiting = append(o.waiting, c)
	o.mu.Unlock()
	<-c.ran
	<-c.say
}

func (o *ordered) Put(ctx context.Context, puts []store.Put) (results []store.PutResult) {
	if puts[0].Reregister {
		return o.Store.Put(ctx, puts)
	}
	o.wait(string(puts[0].Payload), func() { results = o.Store.Put(ctx, puts) })
	return results
}

func (o *ordered) Remove(ctx context.Context, r store.Removal) (removed store.RemoveResult, err error) {
	o.wait("remove", func() { removed, err = o.Store.Remove(ctx, r) })
	return removed, err
}

// settle lets what waits take effect in one order and be answered in another.
func (o *ordered) settle(effects, answers []string) {
	synctest.Wait()
	o.mu.Lock()
	waiting := o.waiting
	o.waiting = nil
	o.mu.Unlock()
	call := func(what string) *waitingCall {
		i := slices.IndexFunc(waiting, func(c *waitingCall) bool { return c.what == what })
		return waiting[i]
	}
	for _, what := range effects {
		c := call(what)
		c.run()
		close(c.ran)
	}
	for _, what := range answers {
		close(call(what).say)
		synctest.Wait()
	}
}

// Of calls of one engine for one ID at the same time, the one that the backend
// took last stands: also after the backend lost its memory, and in whatever
// order the answers come.
func TestWhatComesBackIsWhatStood(t *testing.T) {
	for _, effects := range [][]string{{"a", "b"}, {"b", "a"}, {"a", "b", "remove"}, {"a", "remove", "b"}, {"remove", "b", "a"}, {"b", "remove", "a"}} {
		answers := slices.Clone(effects)
		for range factorial(len(effects)) {
			answers = nextPermutation(answers)
			synctest.Test(t, func(t *testing.T) {
				f := &fake{}
				o := &ordered{Store: f.open("alpha")}
				e := startOn(t, o, "alpha")
				first := make(chan error, 1)
				go func() { first <- registerID(e, "i", "first") }()
				o.settle([]string{"first"}, []string{"first"})
				if err := <-first; err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				for _, what := range effects {
					wg.Go(func() {
						var err error
						if what == "remove" {
							err = e.Deregister(context.Background(), "i")
						} else {
							err = registerID(e, "i", what)
						}
						if err != nil {
							t.Errorf("%s: %v", what, err)
						}
					})
				}
				o.settle(effects, answers)
				wg.Wait()
				want := stored(f, "g", "i")
				if last := effects[len(effects)-1]; want != last && (last != "remove" || want != "") {
					t.Fatalf("after %q the backend has %q", effects, want)
				}
				f.loseAll()
				pass(testBeat + time.Second)
				if got := stored(f, "g", "i"); got != want {
					t.Errorf("%q took effect in this order and were answered in the order %q; %q stood, and after a loss %q came back", effects, answers, want, got)
				}
			})
		}
	}
}

func registerID(e *Engine, id, payload string) error {
	err := e.Register(context.Background(), RegisterRequest{Service: "g", ID: id, Payload: []byte(payload)})
	return err
}

// stored is the payload that the backend lists of an ID, or "".
func stored(f *fake, group, id string) string {
	if r := f.record(group, id); r != nil && r.ExpiresAt >= f.now() {
		return string(r.Payload)
	}
	return ""
}

func factorial(n int) int {
	if n < 2 {
		return 1
	}
	return n * factorial(n-1)
}

// nextPermutation returns the next order of list, the first after the last.
func nextPermutation(list []string) []string {
	list = slices.Clone(list)
	i := len(list) - 2
	for i >= 0 && list[i] >= list[i+1] {
		i--
	}
	if i < 0 {
		slices.Sort(list)
		return list
	}
	j := len(list) - 1
	for list[j] <= list[i] {
		j--
	}
	list[i], list[j] = list[j], list[i]
	slices.Reverse(list[i+1:])
	return list
}

// overtaking is a store that found, of two registrations at once, the one of
// payload "a" to be the earlier, and then lost the reply to the other.
type overtaking struct{ store.Store }

func (o *overtaking) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	results := o.Store.Put(ctx, puts)
	switch string(puts[0].Payload) {
	case "b":
		results[0].Err = errFake
	case "a":
		if !puts[0].Reregister && results[0].Seq < 3 {
			results[0] = store.PutResult{Outcome: store.Overtaken, Seq: 1, RegisteredAt: results[0].RegisteredAt}
		}
	}
	return results
}

// A registration that returned nil is kept alive also when one that was made at
// the same time replaced it and then failed for its caller.
func TestTheOvertakenStandsWhenTheLaterFails(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := startOn(t, &overtaking{f.open("alpha")}, "alpha")
		if err := registerID(e, "i", "a"); err != nil {
			t.Fatal(err)
		}
		later := *f.record("g", "i")
		later.Payload = []byte("b")
		f.write("g", later) // which the store took to be later
		if err := registerID(e, "i", "b"); err == nil {
			t.Fatal("the later did not fail")
		}
		for range 3 {
			pass(testBeat)
			if got := stored(f, "g", "i"); got != "a" {
				t.Errorf("the backend has %q, want the one that returned nil", got)
			}
		}
		before := f.record("g", "i").RegisteredAt
		f.loseAll()
		pass(testBeat)
		if got := f.record("g", "i"); got == nil || got.RegisteredAt != before {
			t.Errorf("after a loss there is %+v, want the registration time %d", got, before)
		}
	})
}

// A registration that was found, when it was sent again, to have been ended by
// another is not kept alive, and says so.
func TestARegistrationThatWasEndedSinceIsLost(t *testing.T) {
	for outcome, want := range map[store.Outcome]Loss{store.Superseded: LossSuperseded, store.Deregistered: LossDeregisteredByOther} {
		bubble(t, func(t *testing.T, f *fake) {
			e := startOn(t, &endedSince{f.open("alpha"), outcome}, "alpha")
			if err := registerID(e, "i", "a"); err != nil {
				t.Fatal(err)
			}
			var told []Loss
			defer e.OnLoss("i", func(l Loss) { told = append(told, l) })()
			if !slices.Equal(told, []Loss{want}) {
				t.Errorf("outcome %d: told %v, want %v", outcome, told, want)
			}
			f.loseAll()
			pass(3 * testBeat)
			if got := stored(f, "g", "i"); got != "" {
				t.Errorf("outcome %d: it came back as %q", outcome, got)
			}
		})
	}
}

type endedSince struct {
	store.Store
	outcome store.Outcome
}

func (s *endedSince) Put(context.Context, []store.Put) []store.PutResult {
	return []store.PutResult{{Outcome: s.outcome, Seq: 1, RegisteredAt: 7}}
}

// lossy is a store whose replies to registrations in the group "new" are lost.
type lossy struct{ store.Store }

func (l *lossy) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	results := l.Store.Put(ctx, puts)
	if puts[0].Service == "new" {
		results[0].Err = errFake
	}
	return results
}

// What a move that failed for its caller left under the new name goes with the
// Deregister of the registration that went on.
func TestDeregisterEndsWhatAFailedMoveLeft(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := startOn(t, &lossy{f.open("alpha")}, "alpha")
		if err := registerID(e, "i", "x"); err != nil {
			t.Fatal(err)
		}
		if err := e.Register(t.Context(), RegisterRequest{Service: "new", ID: "i", Payload: []byte("y")}); err == nil {
			t.Fatal("the move did not fail")
		}
		f.end("g", "i", store.ReasonMoved)
		if err := e.Deregister(t.Context(), "i"); err != nil {
			t.Fatal(err)
		}
		for _, group := range []string{"g", "new"} {
			if got := stored(f, group, "i"); got != "" {
				t.Errorf("after its Deregister %q lists it as %q", group, got)
			}
		}
	})
}
