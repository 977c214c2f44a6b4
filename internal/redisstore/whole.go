package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// wholeRead is a first read in plain commands, which spare the server turning
// every element into a Lua value and back. It is not one step, but the time comes
// first and the revision is read before and after: if it stands, only leases can
// have been extended meanwhile, and what lived at that time is shown.
type wholeRead struct {
	op     *readOp
	hash   *redis.Cmd // which holds the revision, too
	scores *redis.Cmd
	after  *redis.StringCmd
}

// sendWhole answers the reads of those who know nothing and returns the others,
// with those for which something changed meanwhile.
func (s *Store) sendWhole(ctx context.Context, ops []*readOp) []*readOp {
	left := make([]*readOp, 0, len(ops))
	var reads []wholeRead
	pipe := s.client.Pipeline()
	clock := pipe.Time(ctx)
	for _, o := range ops {
		if o.known.Rev != "" || o.group == store.Catalog {
			left = append(left, o)
			continue
		}
		base := s.keys.base(o.group)
		reads = append(reads, wholeRead{
			op:     o,
			hash:   pipe.Do(ctx, "HGETALL", base+":h"),
			scores: pipe.Do(ctx, "ZRANGE", base+":z", 0, -1, "WITHSCORES"),
			after:  pipe.HGet(ctx, base+":h", "rev"),
		})
	}
	if len(reads) == 0 {
		return left
	}
	execute(ctx, pipe)
	now, err := clock.Result()
	if err != nil {
		for _, w := range reads {
			w.op.done(store.Reading{}, s.failed(context.Background(), err))
		}
		return left
	}
	s.told("", now.UnixMicro())
	for _, w := range reads {
		r, ok := w.reading(now.UnixMicro())
		if !ok {
			left = append(left, w.op)
			continue
		}
		if r.Ahead {
			s.tidy(w.op.group)
		}
		w.op.done(r, nil)
	}
	return left
}

// reading makes a reading of the replies, unless the script had better be asked.
func (w *wholeRead) reading(now int64) (store.Reading, bool) {
	r := store.Reading{Now: now}
	hash, ok := w.hash.Val().([]any)
	scores, ok2 := w.scores.Val().([]any)
	if !ok || !ok2 || len(hash)%2 != 0 || len(scores)%2 != 0 {
		return r, false
	}
	for i := 0; i < len(hash); i += 2 {
		if text(hash, i) == "rev" {
			r.Rev = text(hash, i+1)
		}
	}
	if r.Rev == "" || r.Rev != w.after.Val() {
		return r, false
	}
	whole := false
	for i := 0; i < len(scores); i += 2 {
		if text(scores, i) == "" {
			whole = true
			continue
		}
		if at := parseScore(text(scores, i+1)); at >= now && at > 0 && (r.Next == 0 || at < r.Next) {
			r.Next = at
		}
	}
	if !whole {
		return r, false
	}
	fillFull(&r, hash, scores)
	return r, true
}
