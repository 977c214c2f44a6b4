package redisstore

import (
	"fmt"
	"slices"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// moveRig is an owner, a second owner and an operator on a Cluster.
type moveHarness struct {
	*testing.T
	alpha, beta, operator *Store
}

func newMoveHarness(t *testing.T) *moveHarness {
	t.Helper()
	cluster := redistest.StartCluster(t, 3, 0)
	cfg := redisclient.Config{Addrs: cluster.Addrs()}
	r := &moveHarness{T: t, alpha: openTest(t, cfg, "moves", "alpha"), beta: openTest(t, cfg, "moves", "beta"),
		operator: openTest(t, cfg, "moves", "gamma")}
	t.Cleanup(func() {
		for _, s := range []*Store{r.alpha, r.beta, r.operator} {
			closeTest(t, s)
		}
	})
	return r
}

func (r *moveHarness) put(s *Store, p store.Put) store.PutResult {
	r.Helper()
	result := s.Put(r.Context(), []store.Put{p})[0]
	if result.Err != nil {
		r.Fatalf("Put of %q under %q: %v", p.ID, p.Service, result.Err)
	}
	return result
}

// names are the services in which an ID is listed.
func (r *moveHarness) names(id string) (in []string) {
	r.Helper()
	for _, service := range []string{"svc-0", "svc-1", "svc-2"} {
		if slices.ContainsFunc(readTest(r.T, r.operator, service).Records, func(rec *store.Record) bool { return rec.ID == id }) {
			in = append(in, service)
		}
	}
	return in
}

// stepsOfPut are a Put's steps on a Cluster, and its answer.
func (r *moveHarness) stepsOfPut(s *Store, p store.Put) ([]func(), *store.PutResult) {
	var at map[int]location
	var entries []*indexWrite
	var ending oldRecords
	answer := new(store.PutResult)
	return []func(){
		func() { // look
			var err error
			if at, err = s.findElsewhere(r.Context(), []store.Put{p}); err != nil {
				r.Fatal(err)
			}
			if found, ok := at[0]; ok && !p.Reregister {
				p.RegisteredAt = found.registeredAt() + 1
			}
		},
		func() {
			entries = s.writeIDIndex(map[string]string{p.ID: p.Service})
			s.awaitIDIndex(r.Context(), entries)
		},
		func() {
			if *answer = s.put(r.Context(), []store.Put{p}, true)[0]; answer.Err != nil {
				r.Fatal(answer.Err)
			}
		},
		func() { // end and resolve
			if answer.Outcome != store.Done {
				return
			}
			if found, ok := at[0]; ok {
				if err := ending.end(r.Context(), s, p, *answer, found); err != nil {
					r.Fatal(err)
				}
			}
			if err := s.resolveIDConflicts(r.Context(), map[string]string{p.ID: p.Service}, entries, &ending); err != nil {
				r.Fatal(err)
			}
		},
	}, answer
}

// inOrder runs the steps of two processes in every order, each time for a new ID.
func (r *moveHarness) inEveryOrder(what string, steps func(id string) (a, b []func(), check func())) {
	labels := func(who string, n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprint(who, i))
		}
		return out
	}
	one, two, _ := steps("unused-" + what)
	for _, order := range orders(labels("a", len(one)), labels("b", len(two))) {
		outer := r.T
		outer.Run(fmt.Sprint(what, order), func(t *testing.T) {
			r.T = t
			defer func() { r.T = outer }()
			a, b, check := steps(fmt.Sprint(what, order))
			for _, step := range order {
				if step[0] == 'a' {
					a[0]()
					a = a[1:]
				} else {
					b[0]()
					b = b[1:]
				}
			}
			check()
		})
	}
}

// Moves of one ID, reregistrations and removals run in every order of their steps.
//
// Promise 5: the newest owner wins. Promise 4: what was deregistered stays deregistered.
func TestClusterMovesInEveryOrder(t *testing.T) {
	r := newMoveHarness(t)
	once := func(id string, results ...*store.PutResult) {
		r.Helper()
		if in := r.names(id); len(in) != 1 {
			r.Errorf("listed in %q", in)
			for _, result := range results {
				r.Logf("answered %+v", *result)
			}
		}
	}
	r.inEveryOrder("two owners move it", func(id string) (a, b []func(), check func()) {
		r.put(r.alpha, putOf("svc-2", id, "0"))
		first := putOf("svc-0", id, "a")
		first.Hints.PreviousService = "svc-2"
		a, aDone := r.stepsOfPut(r.alpha, first)
		b, bDone := r.stepsOfPut(r.beta, putOf("svc-1", id, "b"))
		return a, b, func() { once(id, aDone, bDone) }
	})
	r.inEveryOrder("one owner moves it twice", func(id string) (a, b []func(), check func()) {
		r.put(r.alpha, putOf("svc-2", id, "0"))
		first, second := putOf("svc-0", id, "a"), putOf("svc-2", id, "b")
		first.Hints.PreviousService = "svc-2"
		a, aDone := r.stepsOfPut(r.alpha, first)
		b, bDone := r.stepsOfPut(r.alpha, second)
		return a, b, func() {
			once(id, aDone, bDone)
			want := "svc-0"
			if bDone.Seq > aDone.Seq {
				want = "svc-2"
			}
			if in := r.names(id); len(in) == 1 && in[0] != want {
				r.Errorf("listed in %q, the later call's is %q", in, want)
			}
		}
	})
	r.inEveryOrder("reregistered while another moves it", func(id string) (a, b []func(), check func()) {
		again := putOf("svc-0", id, "a")
		again.Reregister, again.RegisteredAt = true, 1000
		a, aDone := r.stepsOfPut(r.alpha, again)
		b, bDone := r.stepsOfPut(r.beta, putOf("svc-1", id, "b"))
		return a, b, func() {
			once(id, aDone, bDone)
			if in := r.names(id); len(in) == 1 && in[0] != "svc-1" {
				r.Errorf("listed in %q, the newer one's is svc-1", in)
			}
		}
	})
	r.inEveryOrder("deregistered by ID while it moves", func(id string) (a, b []func(), check func()) {
		r.put(r.alpha, putOf("svc-0", id, "0"))
		move := putOf("svc-1", id, "a")
		move.Hints.PreviousService = "svc-0"
		a, aDone := r.stepsOfPut(r.alpha, move)
		ended := ""
		b = []func(){func() {
			removed, err := r.operator.Remove(r.Context(), store.Removal{ID: id})
			if err != nil || !removed.Existed {
				r.Errorf("Remove of an ID that lives: %+v, %v", removed, err)
			}
			ended = removed.Service
		}}
		return a, b, func() {
			if in := r.names(id); len(in) > 1 || slices.Contains(in, "svc-0") || len(in) == 1 && ended == "svc-1" {
				r.Errorf("ended in %q, then listed in %q; the move: %+v", ended, in, aDone)
			}
		}
	})
	r.inEveryOrder("its status set while it moves", func(id string) (a, b []func(), check func()) {
		r.put(r.alpha, putOf("svc-0", id, "0"))
		move := putOf("svc-1", id, "a")
		move.Hints.PreviousService = "svc-0"
		a, aDone := r.stepsOfPut(r.alpha, move)
		b = []func(){func() {
			result, err := r.operator.PatchOverlay(r.Context(), store.OverlayPatch{ID: id, Set: map[string]string{"health": `"critical"`}})
			if err != nil || !result.Existed {
				r.Errorf("PatchOverlay of an ID that lives: %+v, %v", result, err)
			}
		}}
		return a, b, func() { once(id, aDone) }
	})
}

// The ID moves between a caller's lookup and its call.
func TestClusterCallsByIDFollowAMove(t *testing.T) {
	r := newMoveHarness(t)
	for _, call := range []string{"status", "deregister"} {
		for _, chosen := range []bool{true, false} {
			id := call
			if !chosen {
				var err error
				if id, err = store.NewID(); err != nil {
					t.Fatal(err)
				}
			}
			r.put(r.alpha, putOf("svc-0", id, "0"))
			seq, looks := r.operator.nextSeq(), 0
			found := false
			err := r.operator.callByID(t.Context(), id, func(service string) (existed bool, err error) {
				if looks++; looks <= 2 { // it moves twice
					move := putOf(fmt.Sprint("svc-", looks), id, "0")
					move.Hints.PreviousService = service
					r.put(r.alpha, move)
				}
				if call == "status" {
					result, err := r.operator.patchOverlay(t.Context(), store.OverlayPatch{Service: service, ID: id, Set: map[string]string{"health": `"critical"`}}, seq)
					found = result.Existed
					return found, err
				}
				removed, err := r.operator.removeAs(t.Context(), "gamma", seq, service, id, "any", 0, "")
				found = removed.Existed
				return found, err
			})
			if err != nil || !found {
				t.Errorf("%s of %q that moved twice: found %v after %d looks, %v", call, id, found, looks, err)
			}
		}
	}
}

// The reply to a Deregister by ID is lost, and the owner registers the ID under
// another name before it is sent again: that registration stays.
func TestClusterDeregisterSentAgainSparesAnotherName(t *testing.T) {
	r := newMoveHarness(t)
	r.put(r.alpha, putOf("svc-0", "x", "0"))
	seq := r.operator.nextSeq()
	for try := range 2 {
		removed, err := r.operator.removeAs(t.Context(), "gamma", seq, "svc-0", "x", "any", 0, "")
		if err != nil || !removed.Existed || removed.Service != "svc-0" {
			t.Errorf("try %d: %+v, %v", try, removed, err)
		}
		r.put(r.alpha, putOf("svc-1", "x", "1"))
	}
	if in := r.names("x"); len(in) != 1 || in[0] != "svc-1" {
		t.Errorf("listed in %q", in)
	}
}
