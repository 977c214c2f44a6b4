package nemesis

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Plan is what is to happen: all of it follows from the seed and the duration.
type Plan struct {
	Seed     uint64
	Duration time.Duration
	Services []string
	Owners   []Setting
	Readers  []Setting
	Server   []Step   // faults of the server, one after the other
	Lines    []Step   // faults of clients' lines, one after the other
	Crashes  []Step   // of owners, which come back as new ones
	Slots    [][]Move // what happens to each ID
}

// Setting is how the clients on one line are opened.
type Setting struct {
	Line      string
	TTL, Beat time.Duration
}

// Step is one fault.
type Step struct {
	Wait  time.Duration // after the step before
	Kind  FaultKind
	Line  string        // "": the server
	Span  time.Duration // how long it lasts
	Delay time.Duration // of Delay
	Bytes int           // of a reply that pass, of Truncate
}

// Act is what is done to an ID.
type Act string

// The acts.
const (
	Renew   Act = "renew"   // the same registration again
	Replace Act = "replace" // a new registration, perhaps by another owner or under another name
	Leave   Act = "leave"   // deregistered by its owner
	Evict   Act = "evict"   // deregistered by an operator
)

// Move is one act on an ID.
type Move struct {
	Wait     time.Duration
	Act      Act
	ID       string
	Line     string // the owner's, of Renew and Replace
	Service  string
	Patience time.Duration // of the call
}

// calm is how long before the end of a plan the last fault ends: longer than
// the longest time that any promise allows.
const calm = 7 * time.Second

// NewPlan makes the plan of a seed.
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
	p.server(rand.New(rand.NewPCG(seed, 1)))
	p.lines(rand.New(rand.NewPCG(seed, 2)))
	p.crashes(rand.New(rand.NewPCG(seed, 3)))
	for i := range 8 {
		p.slot(rand.New(rand.NewPCG(seed, 100+uint64(i))), i)
	}
	return p
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

// gap is mostly long enough for everybody to recover, and often not.
func gap(r *rand.Rand) time.Duration {
	if r.IntN(5) < 2 {
		return between(r, 50*time.Millisecond, second)
	}
	return between(r, 2*second, 6*second)
}

func (p *Plan) server(r *rand.Rand) {
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
		p.Server = append(p.Server, s)
	}
}

func (p *Plan) lines(r *rand.Rand) {
	kinds := []FaultKind{Mute, Mute, Delay, Truncate, DropMessages}
	all := append(append([]Setting{}, p.Owners...), p.Readers...)
	for at := 2 * second; ; {
		s := Step{Wait: gap(r), Kind: kinds[r.IntN(len(kinds))], Line: all[r.IntN(len(all))].Line,
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
		p.Lines = append(p.Lines, s)
	}
}

func (p *Plan) crashes(r *rand.Rand) {
	for at := 3 * second; ; {
		s := Step{Wait: between(r, 3*second, 10*second), Line: p.Owners[r.IntN(len(p.Owners))].Line,
			Span: between(r, 200*time.Millisecond, 4*second)}
		if at += s.Wait + s.Span; at > p.Duration-calm {
			return
		}
		p.Crashes = append(p.Crashes, s)
	}
}

func (p *Plan) slot(r *rand.Rand, i int) {
	id := fmt.Sprintf("id-%d", i)
	services := p.Services
	if i%4 == 3 {
		// As if generated. Such an ID stays under one name: of those no hint is kept.
		id = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		services = services[:1]
	}
	var moves []Move
	there := false
	line := p.Owners[i%len(p.Owners)].Line
	service := services[i%len(services)]
	for at := Moment(0); ; {
		m := Move{ID: id, Wait: between(r, 300*time.Millisecond, 7*second), Act: Replace, Patience: 2 * second}
		if len(moves) == 0 {
			m.Wait = between(r, 0, second)
		}
		if r.IntN(8) == 0 {
			m.Patience = between(r, 5*time.Millisecond, 100*time.Millisecond)
		}
		switch pick := r.IntN(10); {
		case !there || pick == 0:
		case pick <= 2:
			line = p.Owners[r.IntN(len(p.Owners))].Line // most often another owner's
		case pick <= 4:
			service = services[r.IntN(len(services))]
		case pick == 5:
			m.Act = Renew
		case pick <= 7:
			m.Act = Leave
		case pick == 8:
			m.Act = Evict
		default:
			line = p.Owners[r.IntN(len(p.Owners))].Line
			service = services[r.IntN(len(services))]
		}
		m.Line, m.Service = line, service
		there = m.Act == Replace || m.Act == Renew
		if at += m.Wait; at > p.Duration-calm {
			break
		}
		moves = append(moves, m)
	}
	p.Slots = append(p.Slots, moves)
}
