package redisstore

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// writeOp is a write that waits to be sent. Batches of writes are sent strictly one
// after the other. Heartbeats go first.
type writeOp interface {
	// add adds its call to the batch.
	add(b *writeBatch)
	// size is its approximate number of bytes in a request.
	size() int
}

// writeBatch is the calls that are sent in one round trip.
type writeBatch struct {
	store     *Store
	calls     []*call
	finish    []func()
	puts      map[string]*putCall // per service: registrations share a call
	idLookups *idLookupCall       // nil until an ID is looked for
}

// Limits of a batch, so that a request is answered within its timeout however many
// writes wait. The limit in bytes adapts to the connection: see adaptBatchBytes.
const (
	maxBatch      = 1000
	maxBatchBytes = 256 << 10
	minBatchBytes = 8 << 10
	// callBytes is the approximate size of a script call without its arguments.
	callBytes = 200
)

// takeWrites returns how many of the waiting writes make up the next batch.
func (s *Store) takeWrites(waiting []writeOp) int {
	bytes := 0
	for i, op := range waiting[:min(len(waiting), maxBatch)] {
		if bytes += op.size(); bytes > s.batchBytes && i > 0 {
			return i
		}
	}
	return min(len(waiting), maxBatch)
}

// adaptBatchBytes adapts the limit to the time that a batch of so many bytes took. A
// batch that was slow, or arrived after its deadline, halves the limit; a fast one
// doubles it.
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

// writes reports whether a call writes in some situation, and fails if that is refused.
func (c *call) writes() bool { return c.script != laggingWatchersScript && c.script != eventsScript }

// wrote reports whether the reply proves that the server accepted a write. A call that
// finds nothing to write proves neither that nor the right to write.
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

// tooLate reports whether a call arrived after its deadline.
func (c *call) tooLate() bool { return text(c.reply, 1) == "late" || text(c.reply, 2) == "late" }

func (b *writeBatch) send(c *call, finish func()) {
	b.calls = append(b.calls, c)
	b.finish = append(b.finish, finish)
}

// singleCall is a writeOp that sends one call.
type singleCall struct {
	ctx     context.Context
	call    *call
	done    chan struct{}
	onReply func() // called with the reply; may be nil
}

func (o *singleCall) size() int { return callBytes }

func (o *singleCall) add(b *writeBatch) {
	if o.ctx.Err() != nil { // no caller waits for it
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

// sendWithoutWaiting sends a call whose reply no caller waits for. If its node's clock
// was not as expected, it is sent once more. A call that fails is not retried: the next
// heartbeat has the same effect.
func (s *Store) sendWithoutWaiting(c *call) {
	o := &singleCall{ctx: s.ctx, call: c, done: make(chan struct{})}
	o.onReply = func() {
		if c.err == nil && s.tooLate(c) {
			s.writes.Add(&singleCall{ctx: s.ctx, call: c, done: make(chan struct{})})
		}
	}
	s.writes.Add(o)
}

// tooLate takes the time from the reply {now, 'ok' or 'late'} of a call, and reports
// whether the call arrived after its deadline.
func (s *Store) tooLate(c *call) bool {
	s.noteTime(c.service, c.reply)
	return text(c.reply, 1) == "late"
}

// callAndWait sends a call and waits for its reply or for ctx. A call that is
// abandoned shares nothing with its caller.
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
