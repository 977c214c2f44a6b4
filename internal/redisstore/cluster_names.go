package redisstore

import (
	"context"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// verify compares a reading of the catalog with the services, behind which it
// lags on a Cluster: their owners tell it separately, and each node accepts or
// refuses writes by itself. It takes out those without a live instance, if their
// own node accepts writes. Without evidence of why they are gone, a watch retains
// them for a grace period.
func (s *Store) verify(ctx context.Context, r *store.Reading) error {
	listed := make(map[string]*store.Record, len(r.Records))
	names := make([]string, 0, len(r.Records))
	for _, rec := range r.Records {
		listed[rec.ID] = rec
		names = append(names, rec.ID)
	}
	for _, t := range r.Buried {
		if t.Reason == store.Expired {
			names = append(names, t.ID)
		}
	}
	live, refused, err := s.liveServices(ctx, r.Now, names)
	if err != nil {
		return err
	}
	r.Records = r.Records[:0]
	for i, name := range names {
		switch {
		case !live[i]:
		case listed[name] != nil:
			r.Records = append(r.Records, listed[name])
		default:
			r.Records = append(r.Records, &store.Record{ID: name, Expires: r.Now})
			r.Buried = slices.DeleteFunc(r.Buried, func(t store.Tombstone) bool { return t.ID == name })
		}
	}
	if refused != nil {
		r.Refused = refused
	}
	r.Rev = revisionOf(r.Records)
	return nil
}

// liveServices asks the services' nodes which of them have an instance. One that
// has none, but whose node refuses writes, counts as live; refused then says so.
func (s *Store) liveServices(ctx context.Context, now int64, names []string) (live []bool, refused, err error) {
	live = make([]bool, len(names))
	if len(names) == 0 {
		return live, nil, nil
	}
	pipe := s.client.Pipeline()
	counts := make([]*redis.IntCmd, len(names))
	for i, name := range names {
		counts[i] = pipe.ZCount(ctx, s.keys.base(name)+":z", strconv.FormatInt(now, 10), "(+inf")
	}
	execute(ctx, pipe)
	var calls []*call
	var asked []int
	for i, name := range names {
		n, err := counts[i].Result()
		if err != nil {
			return nil, nil, unavailable(err)
		}
		if live[i] = n > 0; n == 0 {
			calls, asked = append(calls, s.readCall(name, store.Known{})), append(asked, i)
		}
	}
	if len(calls) == 0 {
		return live, nil, nil
	}
	s.run(ctx, calls)
	for j, c := range calls {
		if c.err != nil {
			return nil, nil, unavailable(c.err)
		}
		r, err := s.parseReading(s.learn(names[asked[j]], c.reply), c.reply)
		if err != nil {
			return nil, nil, err
		}
		if r.Refused != nil {
			refused = r.Refused
		}
		live[asked[j]] = r.Refused != nil || len(r.Records) > 0
	}
	return live, refused, nil
}
