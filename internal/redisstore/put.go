package redisstore

import (
	"context"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// maxPuts is the maximum number of records in one script call. It bounds the time that
// the call takes on the server, and is less than the length of the log.
const maxPuts = 125

// putOp is one record to be written.
type putOp struct {
	ctx      context.Context
	put      store.Put
	seq      uint64
	tryUntil time.Time // when the call stops trying
	lookup   string
	oneSlot  bool // the script reaches only the service's keys
	done     chan struct{}

	result store.PutResult
	late   bool
	err    error
}

// putCall is one script call for records of one service.
type putCall struct {
	*call
	ops     []*putOp
	oneSlot bool
	ids     map[string]struct{} // each ID once
}

func (o *putOp) size() int {
	return callBytes + len(o.put.Payload) + len(o.put.Overlay) + len(o.put.ID)
}

func (o *putOp) add(b *writeBatch) {
	if o.ctx.Err() != nil {
		o.err = o.ctx.Err()
		close(o.done)
		return
	}
	if o.put.StillWanted != nil && !o.put.StillWanted() {
		o.result.Outcome = store.Deregistered
		close(o.done)
		return
	}
	s := b.store
	c := b.puts[o.put.Service]
	if c != nil {
		if _, twice := c.ids[o.put.ID]; twice || len(c.ops) == maxPuts || c.oneSlot != o.oneSlot {
			c = nil
		}
	}
	if c == nil {
		c = &putCall{call: &call{script: putScript, keys: s.keys.ofService(o.put.Service)}, oneSlot: o.oneSlot, ids: make(map[string]struct{})}
		if !o.oneSlot {
			c.keys = append(c.keys, s.keys.catalog)
		}
		c.args = []any{s.cfg.Owner, o.put.Service, s.keys.prefix, 0}
		b.puts[o.put.Service] = c
		pc := c
		b.send(c.call, func() { s.finishPuts(pc) })
		c.args = append(c.args, storedName(s.cfg.Name, o.put.Service)) // stays the last
	}
	c.ops = append(c.ops, o)
	c.ids[o.put.ID] = struct{}{}
	c.args[3] = len(c.ops)
	if !o.oneSlot {
		indexKey := s.keys.catalog
		if !store.IsGeneratedID(o.put.ID) {
			indexKey = s.keys.idIndex(o.put.ID)
		}
		c.keys = append(c.keys, indexKey)
	}
	mode, registeredAt := "n", max(o.put.RegisteredAt, s.clock.passedBy(o.put.Service, time.Now()))
	if o.put.Reregister {
		mode, registeredAt = "h", o.put.RegisteredAt
	}
	name := c.args[len(c.args)-1]
	c.args = append(c.args[:len(c.args)-1], o.seq, o.put.ID, mode, registeredAt, o.put.TTL.Milliseconds(), o.put.HeartbeatInterval.Milliseconds(),
		o.put.Payload, o.put.Overlay, strings.Join(o.put.ResetOverlay, " "), s.serverDeadline(o.put.Service, o.tryUntil), o.lookup, name)
}

func (s *Store) finishPuts(c *putCall) {
	if c.err == nil && len(c.reply) != 2+3*len(c.ops) {
		c.err = errReply
	}
	if c.err == nil {
		s.noteTime(c.ops[0].put.Service, c.reply)
	}
	// The next renewal looks at each lease: the revision after a put says nothing about
	// this owner's other leases, which may be lost since the last renewal.
	s.setKnownRev(c.ops[0].put.Service, "")
	for i, o := range c.ops {
		if c.err != nil {
			o.err = c.err
		} else {
			o.parseReply(text(c.reply, 2+3*i), text(c.reply, 3+3*i), text(c.reply, 4+3*i))
		}
		close(o.done)
	}
}

func (o *putOp) parseReply(outcome, registeredAt, overlay string) {
	o.result.RegisteredAt = parseScore(registeredAt)
	switch outcome {
	case "ok":
		o.result.Outcome = store.Done
		if overlay != "" {
			o.result.Overlay = []byte(overlay)
		}
	case "overtaken":
		o.result.Outcome = store.Overtaken
	case "superseded":
		o.result.Outcome = store.Superseded
	case "deregistered":
		o.result.Outcome = store.Deregistered
	case "late":
		o.late = true
	case "foreign":
		o.err = errForeignData
	default:
		o.err = errReply
	}
}

// Put implements store.Store. A registration is retried, as the same call, until ctx
// ends or for defaultCallTimeout. A reregistration is tried once: its owner repeats it.
func (s *Store) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	if s.oneSlot() {
		return s.putOnCluster(ctx, puts)
	}
	results := s.put(ctx, puts, false)
	var refused []store.Put
	for i, r := range results {
		if refusesTwoSlots(r.Err) {
			refused = append(refused, puts[i])
		}
	}
	if len(refused) == 0 || !s.oneSlot() {
		return results
	}
	again := s.putOnCluster(ctx, refused)
	for i, r := range results {
		if refusesTwoSlots(r.Err) {
			results[i], again = again[0], again[1:]
		}
	}
	return results
}

// put writes records, with oneSlot by scripts that reach only their service's keys.
func (s *Store) put(ctx context.Context, puts []store.Put, oneSlot bool) []store.PutResult {
	results := make([]store.PutResult, len(puts))
	ops := make([]*putOp, len(puts))
	todo := make([]int, len(puts))
	tryUntil := deadlineOf(ctx)
	for i, p := range puts {
		ops[i] = &putOp{put: p, seq: s.nextSeq(), tryUntil: tryUntil, lookup: lookupOf(p)}
		todo[i] = i
	}
	send := s.writes.Add
	if len(puts) == 1 && ctx.Done() == nil {
		send = s.writes.Do // the caller waits for nothing else
	}
	for try := 0; ; try++ {
		for _, i := range todo {
			// A new one for each try: the batcher may still hold the last one.
			o := &putOp{ctx: ctx, put: puts[i], seq: ops[i].seq, tryUntil: tryUntil, lookup: ops[i].lookup, oneSlot: oneSlot, done: make(chan struct{})}
			ops[i] = o
			if !send(o) {
				o.err = store.ErrClosed
				close(o.done)
			}
		}
		again := todo[:0]
		for _, i := range todo {
			select {
			case <-ops[i].done:
				results[i] = ops[i].result
				results[i].Seq, results[i].Err = ops[i].seq, ops[i].err
				if ops[i].late {
					results[i].Err = errLate
				}
				if results[i].Err != nil && retryable(results[i].Err) && !puts[i].Reregister {
					again = append(again, i)
				}
			case <-ctx.Done():
				results[i].Err = ctx.Err()
			}
		}
		todo = again
		if len(todo) == 0 || !s.pauseBeforeRetry(ctx, tryUntil, try) {
			break
		}
	}
	for i := range results {
		if results[i].Err != nil {
			results[i].Err = s.callError(ctx, results[i].Err)
		}
	}
	return results
}

// lookupOf tells the script where to look for the ID's present registration: see
// put.lua.
func lookupOf(p store.Put) string {
	switch {
	case p.Hints.NewID:
		return "-"
	case p.Hints.PreviousService != "":
		return "=" + p.Hints.PreviousService
	case !store.IsGeneratedID(p.ID):
		return "?"
	case p.Reregister:
		return "-" // a generated ID has no index entry, and this owner made it
	default:
		return "!"
	}
}
