package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// maxLooks is how often a call by ID alone looks again for an ID that moves under it.
const maxLookups = 4

// callWhereItIs makes a call on an instance of which only the ID is known, where it
// stands. The ID may move between the look and the call, which then finds nothing:
// it is looked for again until it is found, or only its trace where it stood.
func (s *Store) callByID(ctx context.Context, id string, call func(service string) (existed bool, err error)) error {
	before := ""
	for look := 0; ; look++ {
		service, live, err := s.findServiceOnCluster(ctx, id)
		if err != nil || service == "" || service == before && !live {
			return err
		}
		existed, err := call(service)
		if err != nil || existed || look == maxLookups {
			return err
		}
		before = service
	}
}

// removeAnywhere ends a record of which only the ID is known. Once the call took
// effect, what is registered elsewhere is newer.
func (s *Store) removeByIDOnCluster(ctx context.Context, r store.Removal) (removed store.RemoveResult, err error) {
	seq := s.nextSeq()
	err = s.callByID(ctx, r.ID, func(service string) (existed bool, err error) {
		removed, err = s.removeAs(ctx, s.cfg.Owner, seq, service, r.ID, "any", 0)
		return removed.Existed, err
	})
	return removed, err
}

// locate finds the service in which an ID is live, or else has expired or was
// deregistered; "" when there is none.
func (s *Store) findServiceOnCluster(ctx context.Context, id string) (service string, live bool, err error) {
	if !store.IsGeneratedID(id) {
		pipe := s.client.Pipeline()
		hint := pipe.HGet(ctx, s.keys.idIndex(id), id)
		if err := s.execWaiting(ctx, pipe); err != nil {
			return "", false, err
		}
		if service, ok := parseIndexEntry(hint.Val()); ok {
			pipe := s.client.Pipeline()
			base := s.keys.base(service)
			score, value := pipe.ZScore(ctx, base+":z", id), pipe.HGet(ctx, base+":h", "-"+id)
			if err := s.execWaiting(ctx, pipe); err != nil {
				return "", false, err
			}
			tomb, ok := parseTombstone(id, value.Val())
			if score.Val() > 0 || ok && tomb.Reason != store.ReasonMoved {
				return service, score.Val() > 0, nil
			}
		}
	}
	found, err := s.searchServices(ctx, id, "")
	return found.service, found.live, err
}

// scan looks for an ID in every service of the catalog but one: for where it is
// live, or else has expired. The nodes answer at different times. An ID that has
// left one service for another meanwhile is found by looking again, since it was
// written there before.
func (s *Store) searchServices(ctx context.Context, id, but string) (searchResult, error) {
	for look := 0; ; look++ {
		found, err := s.searchServicesOnce(ctx, id, but)
		if err != nil || found.live || !found.moved || look == 1 {
			return found, err
		}
	}
}

// scanned is what one look through the services found.
type searchResult struct {
	service string // "" if none
	live    bool
	moved   bool // a service says that it has moved
}

func (s *Store) searchServicesOnce(ctx context.Context, id, but string) (found searchResult, err error) {
	names, err := runUntilDone(ctx, s, func() ([]string, error) {
		ctx, cancel := s.requestContext()
		defer cancel()
		return s.client.ZRange(ctx, s.keys.catalog, 0, -1).Result()
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
	if err := s.execWaiting(ctx, pipe); err != nil {
		return found, err
	}
	for i, name := range names {
		if name == but {
			continue
		}
		if scores[i].Val() > 0 {
			return searchResult{service: name, live: true}, nil
		}
		if tomb, ok := parseTombstone(id, tombs[i].Val()); ok {
			switch tomb.Reason {
			case store.ReasonExpired:
				found.service = name
			case store.ReasonMoved:
				found.moved = true
			}
		}
	}
	return found, nil
}
