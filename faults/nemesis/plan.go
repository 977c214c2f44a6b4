package nemesis

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Plan is what happens in a run. It depends only on the seed and the duration.
type Plan struct {
	Seed         uint64
	Duration     time.Duration
	Services     []string
	Owners       []Setting
	Readers      []Setting
	ServerFaults []Step   // faults of the server, in order
	ProxyFaults  []Step   // faults of clients' connections, in order
	Crashes      []Step   // of owners, which are replaced by new ones
	Slots        [][]Move // what happens to each ID
}

// Setting says how the clients behind one proxy are opened.
type Setting struct {
	Proxy          string
	TTL, Heartbeat time.Duration
}

// Step is one fault.
type Step struct {
	Wait  time.Duration // after the step before
	Kind  FaultKind
	Proxy string        // "": the server
	Span  time.Duration // how long it lasts
	Delay time.Duration // of Delay
	Bytes int           // of a reply that pass, of Truncate
}

// Act is what is done to an ID.
type Act string

// The acts.
const (
	Renew   Act = "renew"   // register the same again
	Replace Act = "replace" // a new registration, perhaps by another owner or under another name
	Leave   Act = "leave"   // deregistered by its owner
	Evict   Act = "evict"   // deregistered by an operator
)

// Move is one act on an ID.
type Move struct {
	Wait    time.Duration
	Act     Act
	ID      string
	Proxy   string // the owner's, of Renew and Replace
	Service string
	Timeout time.Duration // of the call
}

// calm is the time without faults at the end of a plan. It is longer than the
// longest bound of any promise.
const calm = 7 * time.Second

// NewPlan generates the plan of a seed.
func NewPlan(seed uint64, duration time.Duration) *Plan {
	p := &Plan{
		Seed: seed, Duration: duration, Services: []string{"api", "a b", "{queue}"},
		Owners: []Setting{
			{"o1", 2 * second, 500 * time.Millisecond},
			{"o2", 3 * second, second},
			{"o3", second, 300 * time.Millisecond},
			{"o4", 2 * second, 400 * time.Millisecond},
		},
		Readers: []Setting{
			{"r1", 2 * second, 500 * time.Millisecond},
			{"r2", 2 * second, 300 * time.Millisecond},
			{"r3", 3 * second, second},
		},
	}
	p.addServerFaults(rand.New(rand.NewPCG(seed, 1)))
	p.addProxyFaults(rand.New(rand.NewPCG(seed, 2)))
	p.addCrashes(rand.New(rand.NewPCG(seed, 3)))
	for i := range 8 {
		p.addSlot(rand.New(rand.NewPCG(seed, 100+uint64(i))), i)
	}
	return p
}

func between(r *rand.Rand, minimum, maximum time.Duration) time.Duration {
	return minimum + time.Duration(r.Int64N(int64(maximum-minimum)))
}

// gap is often long enough for all clients to recover, and often not.
func gap(r *rand.Rand) time.Duration {
	if r.IntN(5) < 2 {
		return between(r, 50*time.Millisecond, second)
	}
	return between(r, 2*second, 6*second)
}

func (p *Plan) addServerFaults(r *rand.Rand) {
	kinds := []FaultKind{RestartEmpty, RestartAOF, FlushAll, FlushAll, ScriptFlush, Freeze, Freeze, RefuseWrites, RefuseWrites, CutAll, CutAll, CutSubs}
	for at := 2 * second; ; {
		s := Step{Wait: gap(r), Kind: kinds[r.IntN(len(kinds))]}
		switch s.Kind {
		case RestartEmpty, RestartAOF:
			s.Span = between(r, 0, 2*second) // between the kill and the start
		case Freeze:
			s.Span = between(r, 100*time.Millisecond, 4*second)
		case RefuseWrites:
			s.Span = between(r, second, 6*second)
		case CutAll, CutSubs:
			s.Span = between(r, 0, second) // again and again
		}
		if at += s.Wait + s.Span; at > p.Duration-calm {
			return
		}
		p.ServerFaults = append(p.ServerFaults, s)
	}
}

func (p *Plan) addProxyFaults(r *rand.Rand) {
	kinds := []FaultKind{Hold, Hold, Delay, Truncate, DropMessages}
	all := append(append([]Setting{}, p.Owners...), p.Readers...)
	for at := 2 * second; ; {
		s := Step{Wait: gap(r), Kind: kinds[r.IntN(len(kinds))], Proxy: all[r.IntN(len(all))].Proxy,
			Span: between(r, 100*time.Millisecond, 4*second)}
		switch s.Kind {
		case Delay:
			s.Delay = between(r, 10*time.Millisecond, 400*time.Millisecond)
		case Truncate:
			s.Bytes = r.IntN(120)
		}
		if at += s.Wait + s.Span; at > p.Duration-calm {
			return
		}
		p.ProxyFaults = append(p.ProxyFaults, s)
	}
}

func (p *Plan) addCrashes(r *rand.Rand) {
	for at := 3 * second; ; {
		s := Step{Wait: between(r, 3*second, 10*second), Proxy: p.Owners[r.IntN(len(p.Owners))].Proxy,
			Span: between(r, 200*time.Millisecond, 4*second)}
		if at += s.Wait + s.Span; at > p.Duration-calm {
			return
		}
		p.Crashes = append(p.Crashes, s)
	}
}

func (p *Plan) addSlot(r *rand.Rand, i int) {
	id := fmt.Sprintf("id-%d", i)
	services := p.Services
	if i%4 == 3 {
		// In the form of a generated ID, which the ID index does not contain. Such an
		// ID stays under one name.
		id = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		services = services[:1]
	}
	var moves []Move
	there := false
	proxy := p.Owners[i%len(p.Owners)].Proxy
	service := services[i%len(services)]
	for at := Moment(0); ; {
		m := Move{ID: id, Wait: between(r, 300*time.Millisecond, 7*second), Act: Replace, Timeout: 2 * second}
		if len(moves) == 0 {
			m.Wait = between(r, 0, second)
		}
		if r.IntN(8) == 0 {
			m.Timeout = between(r, 5*time.Millisecond, 100*time.Millisecond)
		}
		switch pick := r.IntN(10); {
		case !there || pick == 0:
		case pick <= 2:
			proxy = p.Owners[r.IntN(len(p.Owners))].Proxy // most often another owner's
		case pick <= 4:
			service = services[r.IntN(len(services))]
		case pick == 5:
			m.Act = Renew
		case pick <= 7:
			m.Act = Leave
		case pick == 8:
			m.Act = Evict
		default:
			proxy = p.Owners[r.IntN(len(p.Owners))].Proxy
			service = services[r.IntN(len(services))]
		}
		m.Proxy, m.Service = proxy, service
		there = m.Act == Replace || m.Act == Renew
		if at += m.Wait; at > p.Duration-calm {
			break
		}
		moves = append(moves, m)
	}
	p.Slots = append(p.Slots, moves)
}
