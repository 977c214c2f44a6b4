package redisstore

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// wholeRead is a first read in plain commands, which spare the server turning
// every element into a Lua value and back. It is not one step, but the time comes
// first and the revision is read before and after: if it stands, only leases can
// have been extended meanwhile, and what lived at that time is shown.
type plainRead struct {
	op       *readOp
	hash     *redis.Cmd // which holds the revision, too
	scores   *redis.Cmd
	revAfter *redis.StringCmd
}

// sendWhole answers the reads of those who know nothing and returns the others,
// with those for which something changed meanwhile. One that is to prove an
// absence takes the script, which makes sure that writes are accepted.
func (s *Store) sendPlainReads(ctx context.Context, ops []*readOp) []*readOp {
	left := make([]*readOp, 0, len(ops))
	var reads []plainRead
	var pipe redis.Pipeliner
	var clock *redis.TimeCmd
	for _, o := range ops {
		if o.known.Rev != "" || o.known.ProveAbsence || o.service == store.Catalog {
			left = append(left, o)
			continue
		}
		if pipe == nil {
			pipe = s.client.Pipeline()
			clock = pipe.Time(ctx)
		}
		base := s.keys.base(o.service)
		reads = append(reads, plainRead{
			op:       o,
			hash:     pipe.Do(ctx, "HGETALL", base+":h"),
			scores:   pipe.Do(ctx, "ZRANGE", base+":z", 0, -1, "WITHSCORES"),
			revAfter: pipe.HGet(ctx, base+":h", "rev"),
		})
	}
	if len(reads) == 0 {
		return left
	}
	proof := s.sendWriteProof(ctx, pipe)
	redisclient.Exec(ctx, pipe)
	now, err := clock.Result()
	if refused := s.checkWriteProof(proof); refused != nil {
		err = refused
	}
	if err != nil {
		for _, w := range reads {
			if redisclient.ConnectionLost(err) && ctx.Err() == nil {
				w.op.connectionLost = true
				left = append(left, w.op) // the script tells as well, on a new connection
				continue
			}
			w.op.answer(store.Reading{}, s.callError(context.Background(), err))
		}
		return left
	}
	s.noteServerTime("", now.UnixMicro())
	for _, w := range reads {
		r, ok := w.reading(now.UnixMicro())
		if !ok {
			left = append(left, w.op)
			continue
		}
		if r.ClockSetBack {
			s.collect(w.op.service)
		}
		w.op.answer(r, nil)
	}
	return left
}

// reading makes a reading of the replies, unless the script had better be asked.
func (w *plainRead) reading(now int64) (store.Reading, bool) {
	r := store.Reading{Now: now}
	hash, scores := pairs(w.hash.Val()), pairs(w.scores.Val())
	for i := 0; i < len(hash); i += 2 {
		if text(hash, i) == "rev" {
			r.Rev = text(hash, i+1)
		}
	}
	if r.Rev == "" || r.Rev != w.revAfter.Val() {
		return r, false
	}
	whole := false
	for i := 0; i < len(scores); i += 2 {
		if text(scores, i) == "" {
			whole = true
			continue
		}
		at := parseScore(text(scores, i+1))
		if at > 0 && at < now {
			return r, false // which the script proves
		}
		if at > 0 && (r.NextExpiry == 0 || at < r.NextExpiry) {
			r.NextExpiry = at
		}
	}
	if !whole {
		return r, false
	}
	parseFullState(&r, hash, scores, nil)
	return r, true
}

// pairs lists the keys and values of a reply of either protocol one after the
// other, as text; nil for any other reply.
func pairs(reply any) []any {
	switch reply := reply.(type) {
	case map[any]any:
		list := make([]any, 0, 2*len(reply))
		for k, v := range reply {
			list = append(list, k, v)
		}
		return list
	case []any:
		if len(reply) == 0 || len(reply)%2 == 0 && !isPair(reply[0]) {
			return reply
		}
		list := make([]any, 0, 2*len(reply))
		for _, p := range reply {
			pair, ok := p.([]any)
			if !ok || len(pair) != 2 {
				return nil
			}
			if score, ok := pair[1].(float64); ok {
				pair[1] = strconv.FormatFloat(score, 'f', -1, 64)
			}
			list = append(list, pair[0], pair[1])
		}
		return list
	}
	return nil
}

func isPair(v any) bool { _, ok := v.([]any); return ok }
