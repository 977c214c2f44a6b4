package redisstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// wantSuperseded checks what an earlier owner is answered.
func (r *harness) wantSuperseded(s *Store, service, id string, stamp int64) {
	r.Helper()
	answer := s.Renew(r.Context(), []store.ServiceLeases{{Service: service, TTL: testTTL, Leases: []store.Lease{{ID: id, RegisteredAt: stamp}}}})[0]
	if answer.Err != nil || answer.Outcomes[id] != store.Superseded {
		r.Errorf("the earlier owner's renewal: %+v, want Superseded", answer)
	}
	p := putOf(service, id, "x")
	p.Reregister, p.RegisteredAt = true, stamp
	if got := r.put(s, p)[0]; got.Outcome != store.Superseded {
		r.Errorf("the earlier owner reregisters: %+v, want Superseded", got)
	}
	if got := r.read(service, "").Records; len(got) != 0 {
		r.Errorf("%s holds %+v", service, got[0])
	}
}

// An earlier owner cannot register again for a day after the later one died, although no call
// writes about either meanwhile.
func TestTheEarlierOwnerIsFencedOffForADay(t *testing.T) {
	const long, day = 12 * time.Hour, 24 * time.Hour
	for _, later := range []string{"one", "two"} {
		for _, ended := range []bool{false, true} { // the earlier one's lease, by then
			for _, id := range []string{"chosen", generatedID(t)} {
				t.Run(fmt.Sprintf("later under %s, lease ended %t, %s", later, ended, id), func(t *testing.T) {
					r := newHarness(t, redistest.WithFakeTime())
					b := r.open("beta")
					first := r.put(r.store, putOf("one", id, "x"))[0].RegisteredAt
					if ended {
						expire(t, r.admin, r.store.keys, "one", id)
					}
					p := putOf(later, id, "y")
					p.TTL = long
					lease := store.Lease{ID: id, RegisteredAt: r.put(b, p)[0].RegisteredAt}
					if later == "one" { // under another name its evidence lasts a day from the move on
						for range 5 { // more than two days
							r.server.StepClock(long - time.Minute)
							leases := []store.ServiceLeases{{Service: later, TTL: long, Leases: []store.Lease{lease}}}
							b.Renew(t.Context(), leases) // late: it learns the time
							if answer := b.Renew(t.Context(), leases)[0]; answer.Err != nil || len(answer.Outcomes) > 0 {
								t.Fatalf("the later owner's renewal: %+v", answer)
							}
						}
					}
					r.server.StepClock(long + time.Minute) // the later one has died
					if later == "one" {
						r.server.StepClock(day - 2*time.Hour)
					}
					r.store.Renew(t.Context(), []store.ServiceLeases{{Service: "other", TTL: testTTL}}) // learns the time
					r.wantSuperseded(r.store, "one", id, first)
				})
			}
		}
	}
}

// A registration whose lease ended before the call was sent again is restored
// unchanged.
func TestACallSentAgainAfterItsLeaseStandsAgain(t *testing.T) {
	for _, mode := range []string{"n", "h"} {
		for _, between := range []string{"nothing", "another's call", "more calls than the log holds"} {
			t.Run(mode+" "+between, func(t *testing.T) {
				r := newHarness(t)
				keys := []string{r.recordKey("g", "h"), r.recordKey("g", "z"), r.store.keys.catalog, r.store.keys.idIndex("i")}
				stamp := int64(0)
				if mode == "h" {
					stamp = r.now() - 1_000_000
				}
				put := func() []any {
					return r.call(putScript, keys, "beta", "g", r.store.keys.prefix, 1, 7, "i", mode, stamp, 30000, 10000, "x", "", "",
						micros(r.now()+1_000_000), "?")
				}
				first := put()
				expire(t, r.admin, r.store.keys, "g", "i")
				switch between {
				case "another's call":
					r.put(r.store, putOf("g", "other", "x"))
				case "more calls than the log holds":
					for i := range 300 {
						r.put(r.store, putOf("g", fmt.Sprint("other", i%10), fmt.Sprint(i)))
					}
				}
				again := put()
				if text(again, 2) != "ok" || text(again, 3) != text(first, 3) {
					t.Errorf("answered %v, and first %v", again, first)
				}
				found := false
				for _, rec := range r.read("g", "").Records {
					if rec.ID == "i" {
						found = true
						if micros(rec.RegisteredAt) != text(first, 3) || rec.Owner != "beta" {
							t.Errorf("it stands as %+v, registered first at %s", rec, text(first, 3))
						}
					}
				}
				if !found {
					t.Error("it was answered ok and does not stand")
				}
			})
		}
	}
}

// A call sent again shortly before its lease ends renews that.
func TestACallSentAgainRenewsItsLease(t *testing.T) {
	r := newHarness(t)
	keys := []string{r.recordKey("g", "h"), r.recordKey("g", "z"), r.store.keys.catalog, r.store.keys.idIndex("i")}
	put := func() {
		r.call(putScript, keys, "beta", "g", r.store.keys.prefix, 1, 7, "i", "n", 0, 30000, 10000, "x", "", "", micros(r.now()+1_000_000), "?")
	}
	put()
	r.do("ZADD", r.recordKey("g", "z"), r.now()+1_000_000, "i")
	put()
	if left := r.score("g", "i") - r.now(); left < 20_000_000 {
		t.Errorf("its lease ends in %d µs", left)
	}
}

// A removal by ID, or a change of status by ID, that is sent again does nothing
// to a registration of the ID that was made under another name meanwhile.
func TestACallByIDSentAgainSparesAnotherName(t *testing.T) {
	for _, id := range []string{"i", "00000000-0000-4000-8000-000000000000"} {
		r := newHarness(t)
		keys := []string{r.store.keys.catalog, r.store.keys.catalog, r.store.keys.catalog, r.store.keys.idIndex(id)}
		prefix, soon := r.store.keys.prefix, micros(r.now()+time.Hour.Microseconds())
		calls := map[string]func() []any{
			"remove": func() []any { return r.call(removeScript, keys, "operator", 3, "", prefix, id, soon, "any", 0) },
			"patch": func() []any {
				return r.call(patchOverlayScript, keys, "operator", 4, "", prefix, id, soon, "s", "operator", "", "a", "1")
			},
		}
		for what, call := range calls {
			r.put(r.store, putOf("one", id, "x"))
			if reply := call(); text(reply, 2) != "ok" {
				t.Fatalf("%s: %v", what, reply)
			}
			newer := "newer" + what
			r.put(r.open(newer), putOf("two", id, "y"))
			if reply := call(); text(reply, 3) != "one" {
				t.Errorf("%s sent again: %v", what, reply)
			}
			got := r.read("two", "").Records
			if len(got) != 1 || got[0].Owner != newer || len(got[0].Overlay) > 0 {
				t.Errorf("%s sent again: the newer registration under another name is %+v", what, got)
			}
		}
	}
}
