package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// maxLooks is how often a call by ID alone looks again for an ID that moves under it.
const maxLooks = 4

// callWhereItIs makes a call on an instance of which only the ID is known, where it
// stands. The ID may move between the look and the call, which then finds nothing:
// it is looked for again until it is found, or only its trace where it stood.
func (s *Store) callWhereItIs(ctx context.Context, id string, call func(group string) (existed bool, err error)) error {
	before := ""
	for look := 0; ; look++ {
		group, live, err := s.locate(ctx, id)
		if err != nil || group == "" || group == before && !live {
			return err
		}
		existed, err := call(group)
		if err != nil || existed || look == maxLooks {
			return err
		}
		before = group
	}
}

// removeAnywhere ends a record of which only the ID is known. Once the call took
// effect, what is registered elsewhere is newer.
func (s *Store) removeAnywhere(ctx context.Context, r store.Removal) (removed store.RemoveResult, err error) {
	seq := s.nextSeq()
	err = s.callWhereItIs(ctx, r.ID, func(group string) (existed bool, err error) {
		removed, err = s.removeAs(ctx, s.cfg.Owner, seq, group, r.ID, "any", 0)
		return removed.Existed, err
	})
	return removed, err
}

// locate finds the service in which an ID is live, or else has expired or was
// deregistered; "" when there is none.
func (s *Store) locate(ctx context.Context, id string) (group string, live bool, err error) {
	if !store.IsGeneratedID(id) {
		pipe := s.client.Pipeline()
		hint := pipe.HGet(ctx, s.keys.hints(id), id)
		if err := s.exec(ctx, pipe); err != nil {
			return "", false, err
		}
		if group, ok := hinted(hint.Val()); ok {
			pipe := s.client.Pipeline()
			base := s.keys.base(group)
			score, value := pipe.ZScore(ctx, base+":z", id), pipe.HGet(ctx, base+":h", "-"+id)
			if err := s.exec(ctx, pipe); err != nil {
				return "", false, err
			}
			tomb, ok := parseTombstone(id, value.Val())
			if score.Val() > 0 || ok && tomb.Reason != store.ReasonMoved {
				return group, score.Val() > 0, nil
			}
		}
	}
	found, err := s.scan(ctx, id, "")
	return found.group, found.live, err
}

// scan looks for an ID in every service of the catalog but one: for where it is
// live, or else has expired. The nodes answer at different times. An ID that has
// left one service for another meanwhile is found by looking again, since it was
// written there before.
func (s *Store) scan(ctx context.Context, id, but string) (scanned, error) {
	for look := 0; ; look++ {
		found, err := s.scanOnce(ctx, id, but)
		if err != nil || found.live || !found.moved || look == 1 {
			return found, err
		}
	}
}

// scanned is what one look through the services found.
type scanned struct {
	group string // "" if none
	live  bool
	moved bool // a service says that it has moved
}

func (s *Store) scanOnce(ctx context.Context, id, but string) (found scanned, err error) {
	names, err := waitFor(ctx, s, func() ([]string, error) {
		ctx, cancel := s.request()
		defer cancel()
		return s.client.ZRange(ctx, s.keys.names, 0, -1).Result()
	})
	if err != nil {
		return found, err
	}
	pipe := s.client.Pipeline()
	scores := make([]*redis.FloatCmd, len(names))
	tombs := make([]*redis.StringCmd, len(names))
	for i, name := range names {
		base := s.keys.base(name)
		scores[i], tombs[i] = pipe.ZScore(ctx, base+":z", id), pipe.HGet(ctx, base+":h", "-"+id)
	}
	if err := s.exec(ctx, pipe); err != nil {
		return found, err
	}
	for i, name := range names {
		if name == but {
			continue
		}
		if scores[i].Val() > 0 {
			return scanned{group: name, live: true}, nil
		}
		if tomb, ok := parseTombstone(id, tombs[i].Val()); ok {
			switch tomb.Reason {
			case store.ReasonExpired:
				found.group = name
			case store.ReasonMoved:
				found.moved = true
			}
		}
	}
	return found, nil
}
