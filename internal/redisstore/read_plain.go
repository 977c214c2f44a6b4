package redisstore

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// plainRead is a first read with plain commands, so that the server need not convert
// every element to a Lua value and back. It is not atomic, but the time is read
// first, and the revision before and after: if that is the same, only leases can have
// been extended meanwhile, and the result is what was live at that time.
type plainRead struct {
	op       *readOp
	hash     *redis.Cmd // which holds the revision, too
	scores   *redis.Cmd
	revAfter *redis.StringCmd
}

// sendPlainReads answers reads of callers that know nothing. It returns the other
// reads, and those during which something changed. A read that must prove an absence
// needs the script, which verifies that writes are accepted.
func (s *Store) sendPlainReads(ctx context.Context, ops []*readOp) []*readOp {
	rest := make([]*readOp, 0, len(ops))
	var reads []plainRead
	var pipe redis.Pipeliner
	var clock *redis.TimeCmd
	for _, o := range ops {
		if o.known.Rev != "" || o.known.ProveAbsence || o.service == store.Catalog {
			rest = append(rest, o)
			continue
		}
		if pipe == nil {
			pipe = s.client.Pipeline()
			clock = pipe.Time(ctx)
		}
		records := s.keys.records(o.service)
		reads = append(reads, plainRead{
			op:       o,
			hash:     pipe.Do(ctx, "HGETALL", records),
			scores:   pipe.Do(ctx, "ZRANGE", s.keys.leases(o.service), 0, -1, "WITHSCORES"),
			revAfter: pipe.HGet(ctx, records, "rev"),
		})
	}
	if len(reads) == 0 {
		return rest
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
				rest = append(rest, w.op) // the script answers as well, on a new connection
				continue
			}
			w.op.answer(store.Reading{}, s.callError(context.Background(), err))
		}
		return rest
	}
	s.noteServerTime("", now.UnixMicro())
	for _, w := range reads {
		r, ok := w.reading(now.UnixMicro())
		if !ok {
			rest = append(rest, w.op)
			continue
		}
		if r.ClockSetBack {
			s.collect(w.op.service)
		}
		w.op.answer(r, nil)
	}
	return rest
}

// reading parses the replies. It returns false if the script must answer instead.
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
	complete := false
	for i := 0; i < len(scores); i += 2 {
		if text(scores, i) == "" {
			complete = true
			continue
		}
		at := parseScore(text(scores, i+1))
		if at > 0 && at < now {
			return r, false // the script proves that the lease ended
		}
		if at > 0 && (r.NextExpiry == 0 || at < r.NextExpiry) {
			r.NextExpiry = at
		}
	}
	if !complete {
		return r, false
	}
	parseFullState(&r, hash, scores, nil)
	return r, true
}

// pairs returns the keys and values of a reply one after the other, in the form of
// RESP2, for a reply of either protocol; nil for any other reply.
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
