package core

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
	"github.com/rollcall-sd/rollcall/internal/waittest"
)

// reorderingStore is a store whose calls take effect in one order and are answered in another.
type reorderingStore struct {
	store.Store
	mu      sync.Mutex
	waiting []*waitingCall
}

type waitingCall struct {
	what        string // the payload, or "remove"
	run         func()
	ran, answer chan struct{}
}

func (o *reorderingStore) wait(what string, run func()) {
	c := &waitingCall{what, run, make(chan struct{}), make(chan struct{})}
	o.mu.Lock()
	o.waiting = append(o.waiting, c)
	o.mu.Unlock()
	<-c.ran
	<-c.answer
}

func (o *reorderingStore) Put(ctx context.Context, puts []store.Put) (results []store.PutResult) {
	if puts[0].Reregister {
		return o.Store.Put(ctx, puts)
	}
	o.wait(string(puts[0].Payload), func() { results = o.Store.Put(ctx, puts) })
	return results
}

func (o *reorderingStore) Remove(ctx context.Context, r store.Removal) (removed store.RemoveResult, err error) {
	o.wait("remove", func() { removed, err = o.Store.Remove(ctx, r) })
	return removed, err
}

// run has the waiting calls take effect in one order and answers them in another.
func (o *reorderingStore) run(effects, answers []string) {
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
		close(call(what).answer)
		synctest.Wait()
	}
}

// Of concurrent calls of one engine for one ID, the one that took effect last stands:
// also after the backend lost its memory, and in whatever order the answers come.
func TestAReregistrationRestoresWhatTheBackendHad(t *testing.T) {
	for _, effects := range [][]string{{"a", "b"}, {"b", "a"}, {"a", "b", "remove"}, {"a", "remove", "b"}, {"remove", "b", "a"}, {"b", "remove", "a"}} {
		answers := slices.Clone(effects)
		for range factorial(len(effects)) {
			answers = nextPermutation(answers)
			synctest.Test(t, func(t *testing.T) {
				f := &fake{}
				o := &reorderingStore{Store: f.open("alpha")}
				e := startOn(t, o)
				first := make(chan error, 1)
				go func() { first <- registerID(e, "i", "first") }()
				o.run([]string{"first"}, []string{"first"})
				if err := waittest.Receive(t, first, "the first registration"); err != nil {
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
				o.run(effects, answers)
				wg.Wait()
				want := stored(f, "g", "i")
				if last := effects[len(effects)-1]; want != last && (last != "remove" || want != "") {
					t.Fatalf("after %q the backend has %q", effects, want)
				}
				f.loseAll()
				advance(testHeartbeat + time.Second)
				if got := stored(f, "g", "i"); got != want {
					t.Errorf("%q took effect in this order and were answered in the order %q; the backend had %q, and after a loss %q was registered again", effects, answers, want, got)
				}
			})
		}
	}
}

func registerID(e *Engine, id, payload string) error {
	err := e.Register(context.Background(), RegisterRequest{Service: "g", ID: id, Payload: []byte(payload)})
	return err
}

// stored returns the payload that the backend lists for an ID, or "".
func stored(f *fake, service, id string) string {
	if r := f.record(service, id); r != nil && r.ExpiresAt >= f.now() {
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

// nextPermutation returns the next order of a list, and after the last the first.
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

// overtakingStore answers, of two concurrent registrations, that the one with the
// payload "a" was overtaken, and loses the reply to the other.
type overtakingStore struct{ store.Store }

func (o *overtakingStore) Put(ctx context.Context, puts []store.Put) []store.PutResult {
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

// A registration that returned nil is kept alive also if a concurrent one replaced it
// and then failed for its caller.
func TestAnOvertakenRegistrationStaysWhenTheLaterFails(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := startOn(t, &overtakingStore{f.open("alpha")})
		if err := registerID(e, "i", "a"); err != nil {
			t.Fatal(err)
		}
		later := *f.record("g", "i")
		later.Payload = []byte("b")
		f.write("g", later) // as the later call
		if err := registerID(e, "i", "b"); err == nil {
			t.Fatal("the later call did not fail")
		}
		for range 3 {
			advance(testHeartbeat)
			if got := stored(f, "g", "i"); got != "a" {
				t.Errorf("the backend has %q, want the payload of the call that returned nil", got)
			}
		}
		before := f.record("g", "i").RegisteredAt
		f.loseAll()
		advance(testHeartbeat)
		if got := f.record("g", "i"); got == nil || got.RegisteredAt != before {
			t.Errorf("after a loss there is %+v, want the registration time %d", got, before)
		}
	})
}

// A registration is not kept alive, and counts as lost, if a retry of its request
// finds that another process has ended it.
func TestARegistrationThatARetryFindsEndedIsLost(t *testing.T) {
	for outcome, want := range map[store.Outcome]Loss{store.Superseded: LossSuperseded, store.Deregistered: LossDeregisteredByOther} {
		bubble(t, func(t *testing.T, f *fake) {
			e := startOn(t, &endingStore{f.open("alpha"), outcome})
			if err := registerID(e, "i", "a"); err != nil {
				t.Fatal(err)
			}
			var losses []Loss
			defer e.OnLoss("i", func(l Loss) { losses = append(losses, l) })()
			if !slices.Equal(losses, []Loss{want}) {
				t.Errorf("outcome %d: the losses are %v, want %v", outcome, losses, want)
			}
			f.loseAll()
			advance(3 * testHeartbeat)
			if got := stored(f, "g", "i"); got != "" {
				t.Errorf("outcome %d: it was registered again as %q", outcome, got)
			}
		})
	}
}

// A Deregister ends the registration that it found, for its listeners as well: one
// that follows before it returns is not lost, whichever listeners both have.
func TestDeregisterNotifiesOnlyOfTheRegistrationThatItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		o := &reorderingStore{Store: f.open("alpha")}
		e := startOn(t, o)
		registered, deregistered := make(chan error, 2), make(chan error, 1)
		go func() { registered <- registerID(e, "i", "first") }()
		o.run([]string{"first"}, []string{"first"})
		var first, stopped, second []Loss
		defer e.OnLoss("i", func(l Loss) { first = append(first, l) })()
		stop := e.OnLoss("i", func(l Loss) { stopped = append(stopped, l) })
		go func() { deregistered <- e.Deregister(context.Background(), "i") }()
		synctest.Wait()
		removal := o.waiting[0]
		o.waiting = nil
		removal.run()
		close(removal.ran)
		go func() { registered <- registerID(e, "i", "second") }()
		o.run([]string{"second"}, []string{"second"})
		defer e.OnLoss("i", func(l Loss) { second = append(second, l) })()
		stop()
		close(removal.answer)
		for range 2 {
			if err := waittest.Receive(t, registered, "the registrations"); err != nil {
				t.Fatal(err)
			}
		}
		if err := waittest.Receive(t, deregistered, "the Deregister"); err != nil {
			t.Fatal(err)
		}
		if len(first) != 1 || len(stopped) != 0 || len(second) != 0 {
			t.Errorf("the first registration's losses are %v, of a listener that stopped %v, and the second's %v; want only one of the first", first, stopped, second)
		}
		f.loseAll()
		advance(testHeartbeat + time.Second)
		if got := stored(f, "g", "i"); got != "second" {
			t.Errorf("after a loss %q was registered again, want the second", got)
		}
	})
}

type endingStore struct {
	store.Store
	outcome store.Outcome
}

func (s *endingStore) Put(context.Context, []store.Put) []store.PutResult {
	return []store.PutResult{{Outcome: s.outcome, Seq: 1, RegisteredAt: 7}}
}

// replyLosingStore loses the replies to registrations in the service "new".
type replyLosingStore struct{ store.Store }

func (l *replyLosingStore) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	results := l.Store.Put(ctx, puts)
	if puts[0].Service == "new" {
		results[0].Err = errFake
	}
	return results
}

// If a move failed for its caller, a Deregister also ends what the move left in the
// other service.
func TestDeregisterEndsTheRemainsOfAFailedMove(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := startOn(t, &replyLosingStore{f.open("alpha")})
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
		for _, service := range []string{"g", "new"} {
			if got := stored(f, service, "i"); got != "" {
				t.Errorf("after its Deregister %q lists it as %q", service, got)
			}
		}
	})
}
