package redisstore

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// writeOp is one entry of the line of writes, which are sent strictly one batch
// after the other: a beat never overtakes a registration.
type writeOp interface {
	// add puts what it has to say into the batch.
	add(b *batch)
}

// batch is what travels together.
type batch struct {
	store  *Store
	calls  []*call
	finish []func()
	puts   map[string]*putCall // per group, so that registrations share a call
	locate *locateCall         // nil until an ID is looked for
}

// maxBatch is how many entries of the line travel together, so that a request
// is answered within its timeout however many wait.
const maxBatch = 1000

func (s *Store) sendWrites(ops []writeOp) {
	for part := range slices.Chunk(ops, maxBatch) {
		s.sendBatch(part)
	}
}

func (s *Store) sendBatch(ops []writeOp) {
	b := &batch{store: s, puts: make(map[string]*putCall)}
	for _, op := range ops {
		op.add(b)
	}
	ctx, cancel := s.request()
	defer cancel()
	if len(b.calls) > 0 {
		s.run(ctx, b.calls)
		for _, c := range b.calls {
			if c.writes() {
				s.noteWrite(c.err)
			}
		}
	}
	for _, f := range b.finish {
		f()
	}
}

// writes reports whether a call that was answered wrote, or was refused to.
func (c *call) writes() bool {
	return c.script != behindScript && c.script != locateScript && text(c.reply, 1) != "late" && text(c.reply, 2) != "late"
}

func (b *batch) send(c *call, finish func()) {
	b.calls = append(b.calls, c)
	b.finish = append(b.finish, finish)
}

// single is a writeOp of one call of its own.
type single struct {
	ctx  context.Context
	call *call
	done chan struct{}
	then func() // called with the answer; may be nil
}

func (o *single) add(b *batch) {
	if o.ctx.Err() != nil { // nobody waits any more
		o.call.err = o.ctx.Err()
		close(o.done)
		return
	}
	if c := o.call; c.due > 0 {
		give := c.give
		if give.IsZero() {
			give = time.Now().Add(b.store.timeout)
		}
		c.args[c.due] = b.store.deadline(c.group, give)
	}
	b.send(o.call, func() {
		if o.then != nil {
			o.then()
		}
		close(o.done)
	})
}

// tell puts a call on the line that nothing waits for. If its node's clock was
// not as expected, it is sent once more. What it says, the next heartbeat says again.
func (s *Store) tell(c *call) {
	o := &single{ctx: s.ctx, call: c, done: make(chan struct{})}
	o.then = func() {
		if c.err == nil && s.late(c) {
			s.writes.Add(&single{ctx: s.ctx, call: c, done: make(chan struct{})})
		}
	}
	s.writes.Add(o)
}

// late takes the time from the reply {now, 'ok' or 'late'} of a call, and
// reports whether it came after its deadline.
func (s *Store) late(c *call) bool {
	s.learn(c.group, c.reply)
	return text(c.reply, 1) == "late"
}

// write puts a call on the line and waits for it or for the context. An
// abandoned call keeps its own copy of everything.
func (s *Store) write(ctx context.Context, c *call) error {
	o := &single{ctx: ctx, call: c, done: make(chan struct{})}
	if !s.writes.Add(o) {
		return store.ErrClosed
	}
	select {
	case <-o.done:
		if c.err == nil {
			return nil
		}
		return s.failed(ctx, c.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failed words the error of a request for its caller.
func (s *Store) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.ctx.Err() != nil {
		return store.ErrClosed
	}
	return unavailable(err)
}
