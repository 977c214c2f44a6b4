package nemesis

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// tale is a history made by hand. Moments are in milliseconds, calls take 2.
type tale struct {
	*History
	stamps map[string]int64
	ids    map[string]string
}

func newTale() *tale {
	t := &tale{History: &History{End: 40 * second}, stamps: map[string]int64{}, ids: map[string]string{}}
	for _, name := range []string{"o1.1", "o2.1", "r1.1"} {
		t.Clients = append(t.Clients, &Client{Name: name, TTL: 2 * second, Beat: 500 * time.Millisecond})
	}
	return t
}

// forgottenWhileCutOff: memory is lost at 5000 while an owner's line is held up,
// and a watch drops its instance then.
func forgottenWhileCutOff(dropped int) func(*tale) {
	return func(h *tale) {
		w := h.watching(2000)
		h.register(4890, "o1.1", "a", "t1")
		h.yields(w, 4895, "", "t1")
		h.fault(Delay, "o1", 4900, 9000)
		h.fault(FlushAll, "", 5000, 5010)
		h.yields(w, 5020, "lost", "t1")
		h.yields(w, dropped, "")
		h.yields(w, 10400, "", "t1")
	}
}

func ms(n int) Moment { return Moment(n) * time.Millisecond }

func (t *tale) call(at int, c Call) {
	c.Start, c.End, c.Deadline = ms(at), ms(at+2), ms(at+2000)
	t.Calls = append(t.Calls, c)
	t.sort()
}

func (t *tale) register(at int, client, id, token string) {
	t.ids[token] = id
	t.stamps[token] = int64(at) * 1000
	t.call(at, Call{Client: client, Op: Register, Service: "s", ID: id, Token: token})
}

func (t *tale) fails(at int, client, id, token string) {
	t.register(at, client, id, token)
	i := slices.IndexFunc(t.Calls, func(c Call) bool { return c.Token == token })
	t.Calls[i].Err = "no answer"
}

func (t *tale) deregister(at int, op Op, client, id string) {
	t.call(at, Call{Client: client, Op: op, ID: id})
}

func (t *tale) shown(tokens []string) []Shown {
	var out []Shown
	for _, token := range tokens {
		out = append(out, Shown{ID: t.ids[token], Token: token, Stamp: t.stamps[token]})
	}
	return out
}

func (t *tale) discover(at int, tokens ...string) {
	t.call(at, Call{Client: "r1.1", Op: Discover, Service: "s", Shown: t.shown(tokens)})
}

// watching begins a watch; yields are added in order.
func (t *tale) watching(at int) *Watch {
	w := &Watch{Client: "r1.1", Service: "s", Begun: ms(at)}
	t.Watches = append(t.Watches, w)
	return w
}

func (t *tale) yields(w *Watch, at int, stale string, tokens ...string) {
	w.Yields = append(w.Yields, Yield{At: ms(at), Stale: stale, Shown: t.shown(tokens)})
}

func (t *tale) crash(at int, client string) {
	for _, c := range t.Clients {
		if c.Name == client {
			c.Crashed, c.Ending, c.Ended = true, ms(at), ms(at+2)
		}
	}
}

func (t *tale) fault(kind FaultKind, client string, from, to int) {
	t.Faults = append(t.Faults, Fault{Kind: kind, Client: client, Start: ms(from), End: ms(to)})
	t.sort()
}

// stall says that the machine stood for so long of a time.
func (t *tale) stall(from, to, stood int) {
	t.Stalls = append(t.Stalls, Stalled{From: ms(from), To: ms(to), For: ms(stood)})
}

func (t *tale) told(at int, client, id string) {
	t.Tolds = append(t.Tolds, Told{Client: client, ID: id, At: ms(at)})
}

// TestCheckerCatches shows that each promise, broken once, is reported as just that.
func TestCheckerCatches(t *testing.T) {
	for _, test := range []struct {
		name string
		want Promise
		tell func(*tale)
	}{
		{"an instance is missing though nothing is wrong", KeptAlive, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.discover(2000, "t1")
			h.discover(3000)
		}},
		{"an instance lapses in an outage shorter than its lease", KeptAlive, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.fault(CutAll, "", 5000, 5010)
			h.discover(5500)
		}},
		{"a call fails though nothing is wrong", KeptAlive, func(h *tale) {
			h.fails(1000, "o1.1", "a", "t1")
		}},
		{"a list is out of order", KeptAlive, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(2000, "o1.1", "b", "t2")
			h.discover(3000, "t2", "t1")
		}},
		{"a dead one stays", Gone, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.crash(5000, "o1.1")
			h.discover(8100, "t1")
		}},
		{"a dead one stays for longer than the machine stood", Gone, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.crash(5000, "o1.1")
			h.stall(4000, 5000, 1000)
			h.stall(6000, 7000, 500)
			h.discover(8650, "t1")
		}},
		{"a dead one stays in a watch", Gone, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.crash(5000, "o1.1")
			w := h.watching(2000)
			h.yields(w, 2010, "", "t1")
			h.yields(w, 8100, "")
		}},
		{"a dead one stays after a freeze", Gone, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.crash(5000, "o1.1")
			h.fault(Freeze, "", 6000, 9000)
			h.discover(11100, "t1")
		}},
		{"a failed registration stays", Gone, func(h *tale) {
			h.fault(Mute, "o1", 900, 1200)
			h.fails(1000, "o1.1", "a", "t1")
			h.discover(6100, "t1")
		}},
		{"a registration is not back after a loss", ComesBack, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.fault(FlushAll, "", 5000, 5010)
			h.discover(6600)
		}},
		{"a registration comes back with another stamp", ComesBack, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.discover(2000, "t1")
			h.fault(FlushAll, "", 5000, 5010)
			h.stamps["t1"]++
			h.discover(6000, "t1")
		}},
		{"the deregistered comes back", Final, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.deregister(5000, Deregister, "o1.1", "a")
			h.fault(FlushAll, "", 6000, 6010)
			h.discover(7000, "t1")
		}},
		{"the evicted comes back", Final, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.deregister(5000, Operate, "r1.1", "a")
			h.told(5300, "o1.1", "a")
			h.discover(9000, "t1")
		}},
		{"the evicted is not told", Final, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.deregister(5000, Operate, "r1.1", "a")
		}},
		{"the older owner wins", NewestWins, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(5000, "o2.1", "a", "t2")
			h.told(5300, "o1.1", "a")
			h.discover(7000, "t1")
		}},
		{"the older owner is not told", NewestWins, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(5000, "o2.1", "a", "t2")
		}},
		{"an owner is superseded by himself", NewestWins, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(5000, "o1.1", "a", "t2")
			h.told(5300, "o1.1", "a")
		}},
		{"a replaced registration shows", NewestWins, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(5000, "o1.1", "a", "t2")
			h.discover(7000, "t1")
		}},
		{"a read reports an absence while writes are refused", NoFalse, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.fault(RefuseWrites, "", 3000, 9000)
			h.discover(7000)
		}},
		{"a watch drops all while writes are refused", NoFalse, func(h *tale) {
			w := h.watching(500)
			h.register(1000, "o1.1", "a", "t1")
			h.yields(w, 510, "")
			h.yields(w, 1010, "", "t1")
			h.fault(RefuseWrites, "", 3000, 9000)
			h.yields(w, 5100, "")
			h.yields(w, 9200, "", "t1")
		}},
		{"a watch drops all in an outage", NoFalse, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			w := h.watching(2000)
			h.yields(w, 2010, "", "t1")
			h.fault(RestartEmpty, "", 5000, 9000)
			h.yields(w, 5500, "away")
			h.yields(w, 9500, "", "t1")
		}},
		{"a watch drops all when memory is lost", NoFalse, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			w := h.watching(2000)
			h.yields(w, 2010, "", "t1")
			h.fault(FlushAll, "", 5000, 5010)
			h.yields(w, 5020, "")
			h.yields(w, 5500, "", "t1")
		}},
		{"a watch drops one that memory lost before its owner, cut off, had the time to come back", NoFalse, forgottenWhileCutOff(6400)},
		{"a watch does not say that it is blind", NoFalse, func(h *tale) {
			w := h.watching(2000)
			h.yields(w, 2010, "")
			h.fault(Freeze, "", 5000, 7000)
		}},
		{"a watch misses a registration", WatchAlive, func(h *tale) {
			w := h.watching(1000)
			h.yields(w, 1010, "")
			h.register(5000, "o1.1", "a", "t1")
		}},
		{"a watch misses a deregistration", Final, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			w := h.watching(2000)
			h.yields(w, 2010, "", "t1")
			h.deregister(5000, Deregister, "o1.1", "a")
		}},
		{"a watch ends by itself", WatchAlive, func(h *tale) {
			w := h.watching(1000)
			h.yields(w, 1010, "")
			w.Ended = ms(5000)
		}},
		{"a watch stays stale", WatchAlive, func(h *tale) {
			w := h.watching(1000)
			h.yields(w, 1010, "")
			h.fault(Freeze, "", 5000, 7000)
			h.yields(w, 5500, "away")
		}},
		{"half a registration shows", AtomicReads, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.call(2000, Call{Client: "r1.1", Op: Discover, Service: "s",
				Shown: []Shown{{ID: "a", Token: "t1", Stamp: h.stamps["t1"], Broken: true}}})
		}},
		{"an ID shows twice", AtomicReads, func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.discover(2000, "t1", "t1")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newTale()
			test.tell(h)
			found := Check(h.History)
			if !slices.ContainsFunc(found, func(v Violation) bool { return v.Promise == test.want }) {
				t.Errorf("found %v, want a violation of promise %d", found, test.want)
			}
			for _, v := range found {
				if v.Promise != test.want {
					t.Errorf("found beside it: %v", v)
				}
			}
		})
	}
}

// TestCheckerAllows shows that what the promises allow is not reported.
func TestCheckerAllows(t *testing.T) {
	for _, test := range []struct {
		name string
		tell func(*tale)
	}{
		{"a quiet life", func(h *tale) {
			w := h.watching(500)
			h.yields(w, 510, "")
			h.register(1000, "o1.1", "a", "t1")
			h.yields(w, 1003, "", "t1")
			h.register(2000, "o2.1", "b", "t2")
			h.yields(w, 2003, "", "t1", "t2")
			h.discover(3000, "t1", "t2")
			h.deregister(5000, Deregister, "o1.1", "a")
			h.yields(w, 5003, "", "t2")
			h.discover(6000, "t2")
			h.crash(10000, "o2.1")
			h.yields(w, 12600, "")
			h.discover(13100)
		}},
		{"a loss, and all come back", func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			w := h.watching(2000)
			h.yields(w, 2010, "", "t1")
			h.fault(RestartEmpty, "", 5000, 9000)
			h.yields(w, 5500, "away", "t1")
			h.discover(9100)
			h.yields(w, 10400, "", "t1")
			h.discover(10600, "t1")
		}},
		{"writes are refused: reads fail, or answer and show all", func(h *tale) {
			w := h.watching(500)
			h.register(1000, "o1.1", "a", "t1")
			h.yields(w, 510, "")
			h.yields(w, 1010, "", "t1")
			h.fault(RefuseWrites, "", 3000, 9000)
			h.crash(4000, "o2.1")
			h.discover(4000, "t1")
			h.yields(w, 5000, "refused", "t1")
			h.discover(7000, "t1")
			h.discover(9100)
			h.yields(w, 9600, "", "t1")
			h.discover(10600, "t1")
		}},
		{"an owner out of reach lapses and comes back", func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			w := h.watching(2000)
			h.yields(w, 2010, "", "t1")
			h.fault(Mute, "o1", 5000, 9000)
			h.discover(7500)
			h.yields(w, 7600, "")
			h.yields(w, 9500, "", "t1")
			h.discover(10600, "t1")
		}},
		{"an owner who dies in a loss is held for as long as he had to come back", func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			w := h.watching(2000)
			h.yields(w, 2010, "", "t1")
			h.crash(5000, "o1.1")
			h.fault(FlushAll, "", 5100, 5110)
			h.yields(w, 5120, "lost", "t1")
			h.yields(w, 7105, "")
		}},
		{"memory lost while an owner is cut off for longer than it has to come back", forgottenWhileCutOff(6600)},
		{"a takeover", func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(5000, "o2.1", "a", "t2")
			h.told(6400, "o1.1", "a")
			h.discover(5010, "t2")
		}},
		{"a takeover forgotten before the older was told", func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(5000, "o2.1", "a", "t2")
			h.fault(FlushAll, "", 5100, 5110)
			h.discover(5400, "t1")
			h.discover(9000, "t2")
			h.told(6400, "o1.1", "a")
		}},
		{"an eviction forgotten before the owner was told", func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.deregister(5000, Operate, "r1.1", "a")
			h.fault(FlushAll, "", 5100, 5110)
			h.discover(9000, "t1")
		}},
		{"a dead one goes late by what the machine stood", func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.crash(5000, "o1.1")
			h.stall(6000, 7000, 500)
			h.stall(8100, 8300, 200) // counts, too
			h.discover(8650, "t1")
		}},
		{"a registration is back after a loss late by what the machine stood", func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.fault(FlushAll, "", 5000, 5010)
			h.stall(5000, 6000, 300)
			h.discover(6700)
			h.discover(7000, "t1")
		}},
		{"the last heartbeat before an outage is early by what the machine stood", func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.stall(4500, 5000, 200)
			h.fault(CutAll, "", 5000, 8000)
			h.discover(6100)
		}},
		{"a call fails while the machine stands", func(h *tale) {
			h.fails(1000, "o1.1", "a", "t1")
			h.stall(900, 1100, 250)
		}},
		{"a failed replacement shows and goes", func(h *tale) {
			h.register(1000, "o1.1", "a", "t1")
			h.fault(Delay, "o1", 4900, 5500)
			h.fails(5000, "o1.1", "a", "t2")
			h.discover(6000, "t2")
			h.discover(9000, "t1")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newTale()
			test.tell(h)
			for _, v := range Check(h.History) {
				t.Error(v)
			}
		})
	}
}

// TestPlanFollowsSeed shows that a seed gives the same faults again.
func TestPlanFollowsSeed(t *testing.T) {
	one, again, other := NewPlan(7, time.Minute), NewPlan(7, time.Minute), NewPlan(8, time.Minute)
	if fmt.Sprint(one) != fmt.Sprint(again) {
		t.Error("two plans of one seed differ")
	}
	if fmt.Sprint(one) == fmt.Sprint(other) {
		t.Error("plans of two seeds are the same")
	}
}
