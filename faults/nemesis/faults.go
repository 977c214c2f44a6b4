package nemesis

import (
	"slices"
	"strings"
	"time"
)

// FaultKind is a kind of fault.
type FaultKind string

// The faults.
const (
	// Faults of the server.
	RestartEmpty FaultKind = "restart-empty" // killed, its data gone
	RestartAOF   FaultKind = "restart-aof"   // killed, restarted with all it had acknowledged
	FlushAll     FaultKind = "flushall"
	ScriptFlush  FaultKind = "script-flush"
	Freeze       FaultKind = "freeze"        // SIGSTOP, later SIGCONT
	RefuseWrites FaultKind = "refuse-writes" // NOREPLICAS, while reads are answered
	CutAll       FaultKind = "cut-all"
	CutSubs      FaultKind = "cut-subscriptions"
	// Stall is not planned but measured: the server, or the machine, did not answer a plain PING.
	Stall FaultKind = "stall"

	// Faults of one client's connections.
	Hold         FaultKind = "hold" // all bytes are held back, then delivered
	Delay        FaultKind = "delay"
	Truncate     FaultKind = "truncate" // connections end in the middle of a reply
	DropMessages FaultKind = "drop-messages"
)

// effect is what a fault may cause.
type effect struct {
	mayFail     bool // calls and heartbeats may fail
	unanswered  bool // nothing is answered while it lasts
	losesMemory bool // memory is lost
	// refusesWrites: writes fail and reads succeed, so that no missing heartbeat
	// proves that an instance is gone.
	refusesWrites bool
}

var effects = map[FaultKind]effect{
	RestartEmpty: {mayFail: true, unanswered: true, losesMemory: true},
	RestartAOF:   {mayFail: true, unanswered: true},
	FlushAll:     {losesMemory: true},
	ScriptFlush:  {},
	Freeze:       {mayFail: true, unanswered: true},
	RefuseWrites: {mayFail: true, refusesWrites: true},
	CutAll:       {mayFail: true},
	CutSubs:      {},
	Stall:        {mayFail: true},
	Hold:         {mayFail: true, unanswered: true},
	Delay:        {mayFail: true},
	Truncate:     {mayFail: true},
	DropMessages: {},
}

// window is a time in which a fault affected a client.
type window struct {
	from, to Moment
	effect
	own bool // a fault of that client's connections, not of the server
}

// proxyOf names the proxy that a client uses: "o1" for "o1.2", its second client.
func proxyOf(client string) string {
	name, _, _ := strings.Cut(client, ".")
	return name
}

// windows returns the windows that affected a client, oldest first. With a name
// that no client has, it returns those of the server only.
func (h *History) windows(client string) []window {
	var out []window
	for _, f := range h.Faults {
		e := effects[f.Kind]
		if (f.Client == "" || f.Client == proxyOf(client)) && (e.mayFail || e.losesMemory) {
			out = append(out, window{f.Start, f.End, e, f.Client != ""})
		}
	}
	slices.SortFunc(out, func(a, b window) int { return int(a.from - b.from) })
	return out
}

// outage is a run of windows between which a client had less time than the
// contract allows for a heartbeat to succeed, which is a heartbeat + 1 s.
type outage struct {
	from, to Moment
	until    Moment // when its instances must be back
	lost     Moment // when memory was first lost; never if it was not
	own      bool   // its own connections were affected
	other    bool   // something other than refused writes was part of it
}

const (
	second        = time.Second
	never  Moment = 1 << 62
)

func (s stalls) outages(windows []window, heartbeat time.Duration) []outage {
	var out []outage
	for _, w := range windows {
		if len(out) == 0 || w.from > out[len(out)-1].until {
			out = append(out, outage{from: w.from, lost: never})
		}
		b := &out[len(out)-1]
		b.to = max(b.to, w.to)
		b.until = s.by(b.to, heartbeat+second)
		b.own = b.own || w.own
		b.other = b.other || !w.refusesWrites
		if w.losesMemory {
			b.lost = min(b.lost, w.from)
		}
	}
	return out
}

// after extends the deadline of something that began at from: after a window in
// between, the grace period counts from the end of the window.
func (s stalls) after(from, deadline Moment, windows []window, grace time.Duration) Moment {
	for _, w := range windows {
		if w.to >= from && w.from <= deadline {
			deadline = max(deadline, s.by(w.to, grace))
		}
	}
	return deadline
}
