package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// maxLookups is how often a call by ID alone looks again for an ID that moves meanwhile.
const maxLookups = 4

// callByID finds the service of an ID and makes a call there. The ID may move between
// the two, and the call then finds nothing: callByID looks again until the call finds
// the instance, or only a tombstone is left where it stood.
func (s *Store) callByID(ctx context.Context, id string, call func(service string) (existed bool, err error)) error {
	before := ""
	for look := 0; ; look++ {
		found, err := retryLook(ctx, s, func() (searchResult, error) { return s.findServiceOnCluster(ctx, id) })
		if err != nil || found.service == "" || found.service == before && !found.live {
			return err
		}
		existed, err := call(found.service)
		if err != nil || existed || look == maxLookups {
			return err
		}
		before = found.service
	}
}

// removeByIDOnCluster ends a record of which only the ID is known. Once the call took
// effect, a registration of the ID elsewhere is newer.
func (s *Store) removeByIDOnCluster(ctx context.Context, r store.Removal) (removed store.RemoveResult, err error) {
	seq := s.nextSeq()
	err = s.callByID(ctx, r.ID, func(service string) (existed bool, err error) {
		removed, err = s.removeAs(ctx, s.cfg.Owner, seq, service, r.ID, "any", 0, "")
		return removed.Existed, err
	})
	return removed, err
}

// findServiceOnCluster returns the service in which an ID is live, or else one in which
// it expired or was deregistered; "" if there is none.
func (s *Store) findServiceOnCluster(ctx context.Context, id string) (searchResult, error) {
	if !store.IsGeneratedID(id) {
		pipe := s.client.Pipeline()
		entry := pipe.HGet(ctx, s.keys.idIndex(id), id)
		if err := s.execWaiting(ctx, pipe); err != nil {
			return searchResult{}, err
		}
		if service, ok := parseIndexEntry(entry.Val()); ok {
			pipe := s.client.Pipeline()
			score, value := pipe.ZScore(ctx, s.keys.leases(service), id), pipe.HGet(ctx, s.keys.records(service), "-"+id)
			if err := s.execWaiting(ctx, pipe); err != nil {
				return searchResult{}, err
			}
			tomb, ok := parseTombstone(id, value.Val())
			if score.Val() > 0 || ok && tomb.Reason != store.ReasonMoved {
				return searchResult{service: service, live: score.Val() > 0}, nil
			}
		}
	}
	return s.searchServices(ctx, id, "")
}

// searchServices searches every service of the catalog but one for where an ID is live,
// or else expired. The nodes answer at different times: an ID that moved from one
// service to another meanwhile is found by a second search, since it was written
// there before.
func (s *Store) searchServices(ctx context.Context, id, except string) (searchResult, error) {
	for look := 0; ; look++ {
		found, err := s.searchServicesOnce(ctx, id, except)
		if err != nil || found.live || !found.moved || look == 1 {
			return found, err
		}
	}
}

// searchResult is what one search of the services found.
type searchResult struct {
	service string // "" if none
	live    bool
	moved   bool // a service says that it has moved
}

func (s *Store) searchServicesOnce(ctx context.Context, id, except string) (found searchResult, err error) {
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
		scores[i], tombs[i] = pipe.ZScore(ctx, s.keys.leases(name), id), pipe.HGet(ctx, s.keys.records(name), "-"+id)
	}
	if err := s.execWaiting(ctx, pipe); err != nil {
		return found, err
	}
	for i, name := range names {
		if name == except {
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
