package nemesis

import (
	"slices"
	"strings"
	"time"
)

// FaultKind names what goes wrong.
type FaultKind string

// The faults.
const (
	// Of the server.
	RestartEmpty FaultKind = "restart-empty" // killed, its data gone
	RestartAOF   FaultKind = "restart-aof"   // killed, back with all it had acknowledged
	FlushAll     FaultKind = "flushall"
	ScriptFlush  FaultKind = "script-flush"
	Freeze       FaultKind = "freeze"        // SIGSTOP, later SIGCONT
	RefuseWrites FaultKind = "refuse-writes" // NOREPLICAS, while reads are answered
	CutAll       FaultKind = "cut-all"
	CutSubs      FaultKind = "cut-subscriptions"
	// Stall was not picked but measured: the server, or the machine, did not answer a plain PING.
	Stall FaultKind = "stall"

	// Of one client's line.
	Mute         FaultKind = "mute" // all bytes held back, then delivered
	Delay        FaultKind = "delay"
	Truncate     FaultKind = "truncate" // connections end in the middle of a reply
	DropMessages FaultKind = "drop-messages"
)

// effect is what a fault excuses.
type effect struct {
	reach bool // calls and heartbeats may fail
	away  bool // nothing is answered from its beginning to its end
	loss  bool // memory is lost
	// refuses: writes fail and reads succeed, so that nothing may be reported as gone
	// for want of a heartbeat.
	refuses bool
}

var effects = map[FaultKind]effect{
	RestartEmpty: {reach: true, away: true, loss: true},
	RestartAOF:   {reach: true, away: true},
	FlushAll:     {loss: true},
	ScriptFlush:  {},
	Freeze:       {reach: true, away: true},
	RefuseWrites: {reach: true, refuses: true},
	CutAll:       {reach: true},
	CutSubs:      {},
	Stall:        {reach: true},
	Mute:         {reach: true, away: true},
	Delay:        {reach: true},
	Truncate:     {reach: true},
	DropMessages: {},
}

// window is a time in which something was wrong for somebody.
type window struct {
	from, to Moment
	effect
	own bool // on that client's line, not at the server
}

// line is the line that a client uses: "o1" for "o1.2", the second client on it.
func line(client string) string {
	name, _, _ := strings.Cut(client, ".")
	return name
}

// windows returns what was wrong for a client, oldest first. A name that no
// client has asks for the server alone.
func (h *History) windows(client string) []window {
	var out []window
	for _, f := range h.Faults {
		e := effects[f.Kind]
		if (f.Client == "" || f.Client == line(client)) && (e.reach || e.loss) {
			out = append(out, window{f.Start, f.End, e, f.Client != ""})
		}
	}
	slices.SortFunc(out, func(a, b window) int { return int(a.from - b.from) })
	return out
}

// block is a run of windows between which a client had no time for a heartbeat
// that the contract promises: one needs a heartbeat + 1 s.
type block struct {
	from, to Moment
	until    Moment // when its instances must be back
	lost     Moment // when memory was lost first; never, if it was not
	own      bool   // its own line was part of it
	other    bool   // something else than refused writes was
}

const (
	second        = time.Second
	never  Moment = 1 << 62
)

func (s stalls) blocks(windows []window, beat time.Duration) []block {
	var out []block
	for _, w := range windows {
		if len(out) == 0 || w.from > out[len(out)-1].until {
			out = append(out, block{from: w.from, lost: never})
		}
		b := &out[len(out)-1]
		b.to = max(b.to, w.to)
		b.until = s.by(b.to, beat+second)
		b.own = b.own || w.own
		b.other = b.other || !w.refuses
		if w.loss {
			b.lost = min(b.lost, w.from)
		}
	}
	return out
}

// after extends a deadline of something that began at from for what was wrong
// meanwhile: it then counts from when that ended.
func (s stalls) after(from, deadline Moment, windows []window, grace time.Duration) Moment {
	for _, w := range windows {
		if w.to >= from && w.from <= deadline {
			deadline = max(deadline, s.by(w.to, grace))
		}
	}
	return deadline
}
