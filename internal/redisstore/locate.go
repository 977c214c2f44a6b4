package redisstore

import (
	"context"
	"encoding/binary"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// locateOp looks for the service of one ID on a standalone server. All that wait
// travel in one script call, which looks through the services once.
type locateOp struct {
	ctx   context.Context
	id    string
	done  chan struct{}
	group string // "" where there is none
	err   error
}

// locateCall is one script call for several IDs.
type locateCall struct {
	*call
	ops []*locateOp
}

func (o *locateOp) size() int { return callBytes }

func (o *locateOp) add(b *writeBatch) {
	if o.ctx.Err() != nil {
		o.err = o.ctx.Err()
		close(o.done)
		return
	}
	l := b.locate
	if l == nil {
		s := b.store
		l = &locateCall{call: &call{script: locateScript, keys: []string{s.keys.names}}}
		l.args = []any{s.keys.prefix, l} // packed when it is sent
		b.locate = l
		b.send(l.call, func() { s.located(l) })
	}
	l.ops = append(l.ops, o)
}

// MarshalBinary packs the IDs as a MessagePack array, once the batch is complete.
func (l *locateCall) MarshalBinary() ([]byte, error) {
	b := binary.BigEndian.AppendUint32([]byte{0xdd}, uint32(len(l.ops)))
	for _, o := range l.ops {
		b = appendText(b, o.id)
	}
	return b, nil
}

func (s *Store) located(l *locateCall) {
	if l.err == nil && len(l.reply) != 1+len(l.ops) {
		l.err = errReply
	}
	if l.err == nil {
		s.learn("", l.reply)
	}
	for i, o := range l.ops {
		o.group, o.err = text(l.reply, 1+i), l.err
		close(o.done)
	}
}

// locateOne finds the service in which an ID is live, or else has expired; "" when there is none.
func (s *Store) locateOne(ctx context.Context, id string) (group string, err error) {
	give := until(ctx)
	for try := 0; ; try++ {
		o := &locateOp{ctx: ctx, id: id, done: make(chan struct{})}
		if !s.writes.Add(o) {
			return "", store.ErrClosed
		}
		select {
		case <-o.done:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if o.err == nil {
			return o.group, nil
		}
		if err = s.failed(ctx, o.err); ctx.Err() != nil || !passing(err) || !s.pause(ctx, give, try) {
			return "", err
		}
	}
}
