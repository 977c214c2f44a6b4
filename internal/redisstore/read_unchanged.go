package redisstore

import (
	"context"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// confirmUnchanged reads the revisions of services that readers know, and then the time.
// A service is unchanged if its revision is the known one and no known expiry has
// passed. confirmUnchanged answers the reads of such services and returns the others.
func (s *Store) confirmUnchanged(ctx context.Context, ops []*readOp) (ask []*readOp) {
	pipe := s.client.Pipeline()
	checked := make([]*readOp, 0, len(ops))
	for _, o := range ops {
		if o.known.Rev == "" || o.known.Hints.ChangedLast || o.known.ProveAbsence || o.service == store.Catalog {
			ask = append(ask, o)
			continue
		}
		o.rev = pipe.HGet(ctx, s.keys.records(o.service), "rev")
		checked = append(checked, o)
	}
	if len(checked) == 0 {
		return ask
	}
	proof := s.sendWriteProof(ctx, pipe)
	clock := pipe.Time(ctx)
	redisclient.Exec(ctx, pipe)
	now, err := clock.Result()
	if refused := s.checkWriteProof(proof); refused != nil {
		err = refused
	}
	if err == nil {
		s.noteServerTime("", now.UnixMicro())
	}
	for _, o := range checked {
		rev, revErr := o.rev.Result()
		switch {
		case err != nil && redisclient.ConnectionLost(err) && ctx.Err() == nil:
			o.connectionLost = true
			ask = append(ask, o) // the script answers as well, on a new connection
		case err != nil:
			o.answer(store.Reading{}, s.callError(context.Background(), err))
		case revErr == nil && rev == o.known.Rev && (o.known.NextExpiry == 0 || o.known.NextExpiry >= now.UnixMicro()):
			o.answer(store.Reading{Kind: store.Unchanged, Now: now.UnixMicro(), Rev: rev, NextExpiry: o.known.NextExpiry}, nil)
		default:
			ask = append(ask, o)
		}
	}
	return ask
}
