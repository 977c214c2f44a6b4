package nemesis

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// handmadeHistory is a history that a test writes. Moments are in milliseconds, calls take 2.
type handmadeHistory struct {
	*History
	times map[string]int64
	ids   map[string]string
}

func newHandmadeHistory() *handmadeHistory {
	t := &handmadeHistory{History: &History{End: 40 * second}, times: map[string]int64{}, ids: map[string]string{}}
	for _, name := range []string{"o1.1", "o2.1", "r1.1"} {
		t.Clients = append(t.Clients, &Client{Name: name, TTL: 2 * second, Heartbeat: 500 * time.Millisecond})
	}
	return t
}

// memoryLostWhileCutOff builds a history in which memory is lost at 5000 while an
// owner's connection is delayed, and a watch drops its instance at dropped.
func memoryLostWhileCutOff(dropped int) func(*handmadeHistory) {
	return func(h *handmadeHistory) {
		w := h.beginWatch(2000)
		h.register(4890, "o1.1", "a", "t1")
		h.addYield(w, 4895, "", "t1")
		h.fault(Delay, "o1", 4900, 9000)
		h.fault(FlushAll, "", 5000, 5010)
		h.addYield(w, 5020, "lost", "t1")
		h.addYield(w, dropped, "")
		h.addYield(w, 10400, "", "t1")
	}
}

func ms(n int) Moment { return Moment(n) * time.Millisecond }

func (t *handmadeHistory) call(at int, c Call) {
	c.Start, c.End, c.Deadline = ms(at), ms(at+2), ms(at+2000)
	t.Calls = append(t.Calls, c)
	t.sort()
}

func (t *handmadeHistory) register(at int, client, id, token string) {
	t.ids[token] = id
	t.times[token] = int64(at) * 1000
	t.call(at, Call{Client: client, Op: Register, Service: "s", ID: id, Token: token})
}

func (t *handmadeHistory) registerFails(at int, client, id, token string) {
	t.register(at, client, id, token)
	i := slices.IndexFunc(t.Calls, func(c Call) bool { return c.Token == token })
	t.Calls[i].Err = "no answer"
}

func (t *handmadeHistory) deregister(at int, op Op, client, id string) {
	t.call(at, Call{Client: client, Op: op, ID: id})
}

func (t *handmadeHistory) shown(tokens []string) []Shown {
	var out []Shown
	for _, token := range tokens {
		out = append(out, Shown{ID: t.ids[token], Token: token, RegisteredAt: t.times[token]})
	}
	return out
}

func (t *handmadeHistory) discover(at int, tokens ...string) {
	t.call(at, Call{Client: "r1.1", Op: Discover, Service: "s", Shown: t.shown(tokens)})
}

// beginWatch begins a watch. Its yields are added in order.
func (t *handmadeHistory) beginWatch(at int) *Watch {
	w := &Watch{Client: "r1.1", Service: "s", Begun: ms(at)}
	t.Watches = append(t.Watches, w)
	return w
}

func (t *handmadeHistory) addYield(w *Watch, at int, stale string, tokens ...string) {
	w.Yields = append(w.Yields, Yield{At: ms(at), Stale: stale, Shown: t.shown(tokens)})
}

func (t *handmadeHistory) crash(at int, client string) {
	for _, c := range t.Clients {
		if c.Name == client {
			c.Crashed, c.Ending, c.Ended = true, ms(at), ms(at+2)
		}
	}
}

func (t *handmadeHistory) fault(kind FaultKind, client string, from, to int) {
	t.Faults = append(t.Faults, Fault{Kind: kind, Client: client, Start: ms(from), End: ms(to)})
	t.sort()
}

// stall says that the machine stalled for stalled ms between from and to.
func (t *handmadeHistory) stall(from, to, stalled int) {
	t.Stalls = append(t.Stalls, MeasuredStall{From: ms(from), To: ms(to), For: ms(stalled)})
}

func (t *handmadeHistory) lossReported(at int, client, id string) {
	t.LossReports = append(t.LossReports, LossReport{Client: client, ID: id, At: ms(at)})
}

// Each violation of a promise is reported, and as no other.
func TestCheckerCatchesViolations(t *testing.T) {
	for _, test := range []struct {
		name  string
		want  Promise
		build func(*handmadeHistory)
	}{
		{"an instance is missing without a fault", KeptAlive, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.discover(2000, "t1")
			h.discover(3000)
		}},
		{"an instance expires in an outage shorter than its lease", KeptAlive, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.fault(CutAll, "", 5000, 5010)
			h.discover(5500)
		}},
		{"a call fails without a fault", KeptAlive, func(h *handmadeHistory) {
			h.registerFails(1000, "o1.1", "a", "t1")
		}},
		{"a list is out of order", KeptAlive, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(2000, "o1.1", "b", "t2")
			h.discover(3000, "t2", "t1")
		}},
		{"an instance of a dead owner stays", Gone, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.crash(5000, "o1.1")
			h.discover(8100, "t1")
		}},
		{"an instance of a dead owner stays for longer than the machine stalled", Gone, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.crash(5000, "o1.1")
			h.stall(4000, 5000, 1000)
			h.stall(6000, 7000, 500)
			h.discover(8650, "t1")
		}},
		{"an instance of a dead owner stays in a watch", Gone, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.crash(5000, "o1.1")
			w := h.beginWatch(2000)
			h.addYield(w, 2010, "", "t1")
			h.addYield(w, 8100, "")
		}},
		{"an instance of a dead owner stays after a freeze", Gone, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.crash(5000, "o1.1")
			h.fault(Freeze, "", 6000, 9000)
			h.discover(11100, "t1")
		}},
		{"a failed registration stays", Gone, func(h *handmadeHistory) {
			h.fault(Hold, "o1", 900, 1200)
			h.registerFails(1000, "o1.1", "a", "t1")
			h.discover(6100, "t1")
		}},
		{"a registration is not back after a loss", ComesBack, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.fault(FlushAll, "", 5000, 5010)
			h.discover(6600)
		}},
		{"a registration comes back with another registration time", ComesBack, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.discover(2000, "t1")
			h.fault(FlushAll, "", 5000, 5010)
			h.times["t1"]++
			h.discover(6000, "t1")
		}},
		{"a deregistered instance comes back", Final, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.deregister(5000, Deregister, "o1.1", "a")
			h.fault(FlushAll, "", 6000, 6010)
			h.discover(7000, "t1")
		}},
		{"an instance that an operator deregistered comes back", Final, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.deregister(5000, Operate, "r1.1", "a")
			h.lossReported(5300, "o1.1", "a")
			h.discover(9000, "t1")
		}},
		{"an owner does not report that an operator deregistered its instance", Final, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.deregister(5000, Operate, "r1.1", "a")
		}},
		{"the older owner wins", NewestWins, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(5000, "o2.1", "a", "t2")
			h.lossReported(5300, "o1.1", "a")
			h.discover(7000, "t1")
		}},
		{"the older owner does not report that it was superseded", NewestWins, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(5000, "o2.1", "a", "t2")
		}},
		{"an owner is superseded by itself", NewestWins, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(5000, "o1.1", "a", "t2")
			h.lossReported(5300, "o1.1", "a")
		}},
		{"a replaced registration is shown", NewestWins, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(5000, "o1.1", "a", "t2")
			h.discover(7000, "t1")
		}},
		{"a read reports an absence while writes are refused", NoFalse, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.fault(RefuseWrites, "", 3000, 9000)
			h.discover(7000)
		}},
		{"a watch drops all while writes are refused", NoFalse, func(h *handmadeHistory) {
			w := h.beginWatch(500)
			h.register(1000, "o1.1", "a", "t1")
			h.addYield(w, 510, "")
			h.addYield(w, 1010, "", "t1")
			h.fault(RefuseWrites, "", 3000, 9000)
			h.addYield(w, 5100, "")
			h.addYield(w, 9200, "", "t1")
		}},
		{"a watch drops all in an outage", NoFalse, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			w := h.beginWatch(2000)
			h.addYield(w, 2010, "", "t1")
			h.fault(RestartEmpty, "", 5000, 9000)
			h.addYield(w, 5500, "away")
			h.addYield(w, 9500, "", "t1")
		}},
		{"a watch drops all when memory is lost", NoFalse, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			w := h.beginWatch(2000)
			h.addYield(w, 2010, "", "t1")
			h.fault(FlushAll, "", 5000, 5010)
			h.addYield(w, 5020, "")
			h.addYield(w, 5500, "", "t1")
		}},
		{"a watch drops a lost instance before its disconnected owner had the time to come back", NoFalse, memoryLostWhileCutOff(6400)},
		{"a watch does not say that it is disconnected", NoFalse, func(h *handmadeHistory) {
			w := h.beginWatch(2000)
			h.addYield(w, 2010, "")
			h.fault(Freeze, "", 5000, 7000)
		}},
		{"a watch misses a registration", WatchAlive, func(h *handmadeHistory) {
			w := h.beginWatch(1000)
			h.addYield(w, 1010, "")
			h.register(5000, "o1.1", "a", "t1")
		}},
		{"a watch misses a deregistration", Final, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			w := h.beginWatch(2000)
			h.addYield(w, 2010, "", "t1")
			h.deregister(5000, Deregister, "o1.1", "a")
		}},
		{"a watch ends by itself", WatchAlive, func(h *handmadeHistory) {
			w := h.beginWatch(1000)
			h.addYield(w, 1010, "")
			w.Ended = ms(5000)
		}},
		{"a watch stays stale", WatchAlive, func(h *handmadeHistory) {
			w := h.beginWatch(1000)
			h.addYield(w, 1010, "")
			h.fault(Freeze, "", 5000, 7000)
			h.addYield(w, 5500, "away")
		}},
		{"half a registration is shown", AtomicReads, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.call(2000, Call{Client: "r1.1", Op: Discover, Service: "s",
				Shown: []Shown{{ID: "a", Token: "t1", RegisteredAt: h.times["t1"], Broken: true}}})
		}},
		{"an ID is shown twice", AtomicReads, func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.discover(2000, "t1", "t1")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHandmadeHistory()
			test.build(h)
			found := Check(h.History)
			if !slices.ContainsFunc(found, func(v Violation) bool { return v.Promise == test.want }) {
				t.Errorf("found %v, want a violation of promise %d", found, test.want)
			}
			for _, v := range found {
				if v.Promise != test.want {
					t.Errorf("also found: %v", v)
				}
			}
		})
	}
}

// What the promises allow is not reported.
func TestCheckerAllows(t *testing.T) {
	for _, test := range []struct {
		name  string
		build func(*handmadeHistory)
	}{
		{"no faults", func(h *handmadeHistory) {
			w := h.beginWatch(500)
			h.addYield(w, 510, "")
			h.register(1000, "o1.1", "a", "t1")
			h.addYield(w, 1003, "", "t1")
			h.register(2000, "o2.1", "b", "t2")
			h.addYield(w, 2003, "", "t1", "t2")
			h.discover(3000, "t1", "t2")
			h.deregister(5000, Deregister, "o1.1", "a")
			h.addYield(w, 5003, "", "t2")
			h.discover(6000, "t2")
			h.crash(10000, "o2.1")
			h.addYield(w, 12600, "")
			h.discover(13100)
		}},
		{"a loss of memory, and all come back", func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			w := h.beginWatch(2000)
			h.addYield(w, 2010, "", "t1")
			h.fault(RestartEmpty, "", 5000, 9000)
			h.addYield(w, 5500, "away", "t1")
			h.discover(9100)
			h.addYield(w, 10400, "", "t1")
			h.discover(10600, "t1")
		}},
		{"writes are refused: reads fail, or answer and show all", func(h *handmadeHistory) {
			w := h.beginWatch(500)
			h.register(1000, "o1.1", "a", "t1")
			h.addYield(w, 510, "")
			h.addYield(w, 1010, "", "t1")
			h.fault(RefuseWrites, "", 3000, 9000)
			h.crash(4000, "o2.1")
			h.discover(4000, "t1")
			h.addYield(w, 5000, "refused", "t1")
			h.discover(7000, "t1")
			h.discover(9100)
			h.addYield(w, 9600, "", "t1")
			h.discover(10600, "t1")
		}},
		{"an instance of a disconnected owner expires and comes back", func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			w := h.beginWatch(2000)
			h.addYield(w, 2010, "", "t1")
			h.fault(Hold, "o1", 5000, 9000)
			h.discover(7500)
			h.addYield(w, 7600, "")
			h.addYield(w, 9500, "", "t1")
			h.discover(10600, "t1")
		}},
		{"an instance lost with its owner is retained for the owner's grace period", func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			w := h.beginWatch(2000)
			h.addYield(w, 2010, "", "t1")
			h.crash(5000, "o1.1")
			h.fault(FlushAll, "", 5100, 5110)
			h.addYield(w, 5120, "lost", "t1")
			h.addYield(w, 7105, "")
		}},
		{"memory lost while an owner is disconnected for longer than its grace period", memoryLostWhileCutOff(6600)},
		{"a takeover", func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(5000, "o2.1", "a", "t2")
			h.lossReported(6400, "o1.1", "a")
			h.discover(5010, "t2")
		}},
		{"a takeover lost before the older owner knew of it", func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.register(5000, "o2.1", "a", "t2")
			h.fault(FlushAll, "", 5100, 5110)
			h.discover(5400, "t1")
			h.discover(9000, "t2")
			h.lossReported(6400, "o1.1", "a")
		}},
		{"an operator's deregistration lost before the owner knew of it", func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.deregister(5000, Operate, "r1.1", "a")
			h.fault(FlushAll, "", 5100, 5110)
			h.discover(9000, "t1")
		}},
		{"an instance of a dead owner goes late by the machine's stall", func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.crash(5000, "o1.1")
			h.stall(6000, 7000, 500)
			h.stall(8100, 8300, 200) // counts, too
			h.discover(8650, "t1")
		}},
		{"a registration is back after a loss late by the machine's stall", func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.fault(FlushAll, "", 5000, 5010)
			h.stall(5000, 6000, 300)
			h.discover(6700)
			h.discover(7000, "t1")
		}},
		{"the last heartbeat before an outage is early by the machine's stall", func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.stall(4500, 5000, 200)
			h.fault(CutAll, "", 5000, 8000)
			h.discover(6100)
		}},
		{"a call fails while the machine stalls", func(h *handmadeHistory) {
			h.registerFails(1000, "o1.1", "a", "t1")
			h.stall(900, 1100, 250)
		}},
		{"a failed replacement is shown and goes", func(h *handmadeHistory) {
			h.register(1000, "o1.1", "a", "t1")
			h.fault(Delay, "o1", 4900, 5500)
			h.registerFails(5000, "o1.1", "a", "t2")
			h.discover(6000, "t2")
			h.discover(9000, "t1")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHandmadeHistory()
			test.build(h)
			for _, v := range Check(h.History) {
				t.Error(v)
			}
		})
	}
}

// One seed always gives the same plan.
func TestPlanFollowsSeed(t *testing.T) {
	one, again, other := NewPlan(7, time.Minute), NewPlan(7, time.Minute), NewPlan(8, time.Minute)
	if fmt.Sprint(one) != fmt.Sprint(again) {
		t.Error("two plans of one seed differ")
	}
	if fmt.Sprint(one) == fmt.Sprint(other) {
		t.Error("plans of two seeds are the same")
	}
}
