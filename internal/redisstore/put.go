package redisstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// maxPuts is how many records one script call takes, so that it does not hold
// up the server, and no more than the log remembers.
const maxPuts = 125

// putOp is one record on its way.
type putOp struct {
	ctx      context.Context
	put      store.Put
	seq      uint64
	tryUntil time.Time // when the call stops trying
	lookup   string
	done     chan struct{}

	result store.PutResult
	late   bool
	err    error
}

// putCall is one script call for records of one service.
type putCall struct {
	*call
	ops []*putOp
	ids map[string]struct{} // none comes twice
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
		if _, twice := c.ids[o.put.ID]; twice || len(c.ops) == maxPuts {
			c = nil
		}
	}
	if c == nil {
		base := s.keys.base(o.put.Service)
		c = &putCall{call: &call{script: putScript, keys: []string{base + ":h", base + ":z"}}, ids: make(map[string]struct{})}
		if !s.cluster {
			c.keys = append(c.keys, s.keys.catalog)
		}
		c.args = []any{s.cfg.Owner, o.put.Service, s.keys.prefix, 0}
		b.puts[o.put.Service] = c
		pc := c
		b.send(c.call, func() { s.finishPuts(pc) })
	}
	c.ops = append(c.ops, o)
	c.ids[o.put.ID] = struct{}{}
	c.args[3] = len(c.ops)
	if !s.cluster {
		hints := s.keys.catalog
		if !store.IsGeneratedID(o.put.ID) {
			hints = s.keys.idIndex(o.put.ID)
		}
		c.keys = append(c.keys, hints)
	}
	mode, stamp := "n", max(o.put.RegisteredAt, s.clock.passedBy(o.put.Service, time.Now()))
	if o.put.Reregister {
		mode, stamp = "h", o.put.RegisteredAt
	}
	c.args = append(c.args, o.seq, o.put.ID, mode, stamp, o.put.TTL.Milliseconds(), o.put.HeartbeatInterval.Milliseconds(),
		o.put.Payload, o.put.Overlay, strings.Join(o.put.ResetOverlay, " "), s.serverDeadline(o.put.Service, o.tryUntil), o.lookup)
}

func (s *Store) finishPuts(c *putCall) {
	if c.err == nil && len(c.reply) != 2+3*len(c.ops) {
		c.err = errReply
	}
	if c.err == nil {
		s.noteTime(c.ops[0].put.Service, c.reply)
	}
	// The next renewal looks at each lease: a revision that a put left behind says
	// nothing of this owner's others, which may be gone since the last one.
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

func (o *putOp) parseReply(outcome, stamp, overlay string) {
	o.result.RegisteredAt = parseScore(stamp)
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

// Put implements store.Store. A put that fails in passing is tried again, as
// the same call, until its context ends or patience does. A reregistration is
// tried once: its owner goes on with others and comes again.
func (s *Store) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	if s.cluster {
		return s.putOnCluster(ctx, puts)
	}
	return s.put(ctx, puts)
}

func (s *Store) put(ctx context.Context, puts []store.Put) []store.PutResult {
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
		send = s.writes.Do // the caller has nothing else to wait for
	}
	for try := 0; ; try++ {
		for _, i := range todo {
			// A fresh one each time: the line may still hold the last.
			o := &putOp{ctx: ctx, put: puts[i], seq: ops[i].seq, tryUntil: tryUntil, lookup: ops[i].lookup, done: make(chan struct{})}
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

// errLate: Redis's clock was past the call's deadline, because the call was
// held up or the clock was set forward. The reply said what time it is.
var errLate = errors.New("the call reached Redis after its deadline")

// serverError is what the server said, passed on by a script.
type serverError string

func (e serverError) Error() string { return string(e) }

// RedisError implements redis.Error.
func (e serverError) RedisError() {}

// errForeign: a record could not leave the service that it stands in.
const errForeignData = serverError("WRONGTYPE the service in which this ID is registered now holds another program's data")

// from tells the script where to look for the ID's present registration.
func lookupOf(p store.Put) string {
	switch {
	case p.Hints.NewID:
		return "-"
	case p.Hints.PreviousService != "":
		return "=" + p.Hints.PreviousService
	case !store.IsGeneratedID(p.ID):
		return "?"
	case p.Reregister:
		return "-" // no hint is kept of generated IDs, and this owner made it
	default:
		return "!"
	}
}
