package redisstore

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// writeOp is one entry of the line of writes, which are sent strictly one batch
// after the other. Heartbeats go first.
type writeOp interface {
	// add puts what it has to say into the batch.
	add(b *writeBatch)
	// size is about how many bytes it takes on the line.
	size() int
}

// batch is what travels together.
type writeBatch struct {
	store     *Store
	calls     []*call
	finish    []func()
	puts      map[string]*putCall // per service, so that registrations share a call
	idLookups *idLookupCall       // nil until an ID is looked for
}

// Bounds of how many entries of the line, and how many of their bytes, travel
// together, so that a request is answered within its timeout however many wait.
// The bytes adapt to the line, see adapt.
const (
	maxBatch      = 1000
	maxBatchBytes = 256 << 10
	minBatchBytes = 8 << 10
	// callBytes is about what a script call takes besides what it says.
	callBytes = 200
)

// takeWrites returns how many entries make up the next batch.
func (s *Store) takeWrites(waiting []writeOp) int {
	bytes := 0
	for i, op := range waiting[:min(len(waiting), maxBatch)] {
		if bytes += op.size(); bytes > s.batchBytes && i > 0 {
			return i
		}
	}
	return min(len(waiting), maxBatch)
}

// adapt takes how long a batch of so many bytes was under way. One that was not
// answered in time, or came too late, halves the next ones; one that was quick
// doubles them.
func (s *Store) adaptBatchBytes(bytes int, took time.Duration, late bool) {
	switch {
	case late || took > s.timeout/2:
		s.batchBytes = max(minBatchBytes, s.batchBytes/2)
	case took < s.timeout/8 && bytes > s.batchBytes/2:
		s.batchBytes = min(maxBatchBytes, 2*s.batchBytes)
	}
}

func (s *Store) sendWrites(ops []writeOp) {
	b := &writeBatch{store: s, puts: make(map[string]*putCall)}
	bytes := 0
	for _, op := range ops {
		bytes += op.size()
	}
	for _, op := range ops {
		op.add(b)
	}
	ctx, cancel := s.requestContext()
	defer cancel()
	if len(b.calls) > 0 {
		began, late := time.Now(), false
		s.sendCalls(ctx, b.calls)
		for _, c := range b.calls {
			late = late || c.tooLate()
			if c.wrote() || c.err != nil && c.writes() {
				s.noteWrite(c.err)
			}
		}
		s.adaptBatchBytes(bytes, time.Since(began), late)
	}
	for _, f := range b.finish {
		f()
	}
}

// writes reports whether a call is one that writes where there is something to write.
func (c *call) writes() bool { return c.script != laggingWatchersScript && c.script != lookupIDsScript }

// wrote reports whether the answer shows that the server accepted a write. A call
// that finds nothing to write shows neither that nor a right to.
func (c *call) wrote() bool {
	if c.err != nil {
		return false
	}
	switch c.script {
	case watcherLeaseScript:
		return text(c.reply, 1) == "ok"
	case removeScript, patchOverlayScript:
		return text(c.reply, 2) == "ok"
	case putScript, renewScript: // an answer per record; nothing else is such a text
		return slices.ContainsFunc(c.reply, func(e any) bool { return e == "ok" || e == "same" })
	}
	return false
}

// late reports whether a call came after its deadline.
func (c *call) tooLate() bool { return text(c.reply, 1) == "late" || text(c.reply, 2) == "late" }

func (b *writeBatch) send(c *call, finish func()) {
	b.calls = append(b.calls, c)
	b.finish = append(b.finish, finish)
}

// single is a writeOp of one call of its own.
type singleCall struct {
	ctx     context.Context
	call    *call
	done    chan struct{}
	onReply func() // called with the answer; may be nil
}

func (o *singleCall) size() int { return callBytes }

func (o *singleCall) add(b *writeBatch) {
	if o.ctx.Err() != nil { // nobody waits any more
		o.call.err = o.ctx.Err()
		close(o.done)
		return
	}
	if c := o.call; c.deadlineArg > 0 {
		tryUntil := c.tryUntil
		if tryUntil.IsZero() {
			tryUntil = time.Now().Add(b.store.timeout)
		}
		c.args[c.deadlineArg] = b.store.serverDeadline(c.service, tryUntil)
	}
	b.send(o.call, func() {
		if o.onReply != nil {
			o.onReply()
		}
		close(o.done)
	})
}

// tell puts a call on the line that nothing waits for. If its node's clock was
// not as expected, it is sent once more. What it says, the next heartbeat says again.
func (s *Store) sendWithoutWaiting(c *call) {
	o := &singleCall{ctx: s.ctx, call: c, done: make(chan struct{})}
	o.onReply = func() {
		if c.err == nil && s.tooLate(c) {
			s.writes.Add(&singleCall{ctx: s.ctx, call: c, done: make(chan struct{})})
		}
	}
	s.writes.Add(o)
}

// late takes the time from the reply {now, 'ok' or 'late'} of a call, and
// reports whether it came after its deadline.
func (s *Store) tooLate(c *call) bool {
	s.noteTime(c.service, c.reply)
	return text(c.reply, 1) == "late"
}

// write puts a call on the line and waits for it or for the context. An
// abandoned call keeps its own copy of everything.
func (s *Store) callAndWait(ctx context.Context, c *call) error {
	o := &singleCall{ctx: ctx, call: c, done: make(chan struct{})}
	if !s.writes.Add(o) {
		return store.ErrClosed
	}
	select {
	case <-o.done:
		if c.err == nil {
			return nil
		}
		return s.callError(ctx, c.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failed words the error of a request for its caller.
func (s *Store) callError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.ctx.Err() != nil {
		return store.ErrClosed
	}
	return unavailable(err)
}
