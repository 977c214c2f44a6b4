package redisstore

import (
	"context"
	"encoding/binary"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// idLookup finds the service of one ID on a standalone server. All lookups that wait
// share one script call, which searches the services once.
type idLookup struct {
	ctx     context.Context
	id      string
	done    chan struct{}
	service string // "" where there is none
	err     error
}

// idLookupCall is one script call for several IDs.
type idLookupCall struct {
	*call
	ops []*idLookup
}

func (o *idLookup) size() int { return callBytes }

func (o *idLookup) add(b *writeBatch) {
	if o.ctx.Err() != nil {
		o.err = o.ctx.Err()
		close(o.done)
		return
	}
	l := b.idLookups
	if l == nil {
		s := b.store
		l = &idLookupCall{call: &call{script: lookupIDsScript, keys: []string{s.keys.catalog}}}
		l.args = []any{s.keys.prefix, l} // packed when it is sent
		b.idLookups = l
		b.send(l.call, func() { s.finishIDLookups(l) })
	}
	l.ops = append(l.ops, o)
}

// MarshalBinary packs the IDs as a MessagePack array, once the batch is complete.
func (l *idLookupCall) MarshalBinary() ([]byte, error) {
	b := binary.BigEndian.AppendUint32([]byte{0xdd}, uint32(len(l.ops)))
	for _, o := range l.ops {
		b = appendText(b, o.id)
	}
	return b, nil
}

func (s *Store) finishIDLookups(l *idLookupCall) {
	if l.err == nil && len(l.reply) != 1+len(l.ops) {
		l.err = errReply
	}
	if l.err == nil {
		s.noteTime("", l.reply)
	}
	for i, o := range l.ops {
		o.service, o.err = text(l.reply, 1+i), l.err
		close(o.done)
	}
}

// lookUpID returns the service in which an ID is live, or else one in which it expired;
// "" if there is none.
func (s *Store) lookUpID(ctx context.Context, id string) (service string, err error) {
	tryUntil := deadlineOf(ctx)
	for try := 0; ; try++ {
		o := &idLookup{ctx: ctx, id: id, done: make(chan struct{})}
		if !s.writes.Add(o) {
			return "", store.ErrClosed
		}
		select {
		case <-o.done:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if o.err == nil {
			return o.service, nil
		}
		if err = s.callError(ctx, o.err); ctx.Err() != nil || !retryable(err) || !s.pauseBeforeRetry(ctx, tryUntil, try) {
			return "", err
		}
	}
}
