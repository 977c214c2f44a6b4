package redisstore

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// With one slot per script, a script reaches the keys of one service. What concerns
// others (the catalog, the ID index, an ID that moves) needs calls of its own, in an
// order in which no reader misses an instance.

// location is a service in which an ID has a record or a tombstone. Both are nil before
// they were fetched.
type location struct {
	service   string
	record    *store.Record
	tombstone *store.Tombstone
}

// empty reports whether nothing was found there.
func (p location) empty() bool { return p.record == nil && p.tombstone == nil }

// registeredAt is the registration time of what was found.
func (p location) registeredAt() int64 {
	switch {
	case p.record != nil:
		return p.record.RegisteredAt
	case p.tombstone != nil:
		return p.tombstone.RegisteredAt
	}
	return 0
}

// fencingVerdict says what a call of this owner, later than all before, does there.
func (s *Store) fencingVerdict(call store.Call, registeredAt int64, at location) store.Verdict {
	return store.FencingVerdict(call, store.SituationOf(s.cfg.Owner, store.LatestSeq, registeredAt, at.record, at.tombstone))
}

// putOnCluster finds where the IDs of puts stand under other names, writes them, and
// then ends them where they stood.
func (s *Store) putOnCluster(ctx context.Context, puts []store.Put) []store.PutResult {
	look := func() (map[int]location, error) { return s.findElsewhere(ctx, puts) }
	if len(puts) > 0 && !puts[0].Reregister {
		once := look
		look = func() (map[int]location, error) { return retryLook(ctx, s, once) }
	}
	elsewhere, err := look()
	results := make([]store.PutResult, len(puts))
	if err != nil {
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	var todo []store.Put
	var index []int
	for i, p := range puts {
		at, ok := elsewhere[i]
		switch {
		case !ok:
		case !p.Reregister:
			p.RegisteredAt = at.registeredAt() + 1 // the other node's clock may be ahead
		default:
			switch s.fencingVerdict(store.CallReregister, p.RegisteredAt, at) {
			case store.IsSuperseded:
				results[i].Outcome = store.Superseded
				continue
			case store.IsDeregistered:
				results[i].Outcome = store.Deregistered
				continue
			}
		}
		todo, index = append(todo, p), append(index, i)
	}
	entries, indexed := s.writeIndexEntries(todo)
	written := s.put(ctx, todo, true)
	s.awaitIndexWrites(ctx, indexed)
	chosen := make(map[string]string)
	var ending oldRecords
	for j, r := range written {
		i := index[j]
		results[i] = r
		at, ok := elsewhere[i]
		if ok && r.Err == nil && r.Outcome == store.Done {
			ending.Go(func() { results[i].Err = ending.end(ctx, s, puts[i], r, at) })
		}
		if r.Err == nil && r.Outcome == store.Done && !store.IsGeneratedID(puts[i].ID) {
			chosen[puts[i].ID] = puts[i].Service
		}
	}
	// Its error is not one of the registrations: the next heartbeat resolves conflicts.
	_ = s.resolveIDConflicts(ctx, chosen, entries, &ending)
	ending.Wait()
	return results
}

// oldRecords ends IDs where they stood before, all at once. Wait waits for all of them.
type oldRecords struct {
	sync.WaitGroup
	mu    sync.Mutex
	ended map[string]string // by ID, the service in which it was ended after it was written elsewhere
}

func (o *oldRecords) end(ctx context.Context, s *Store, p store.Put, r store.PutResult, at location) error {
	existed, err := s.endOldRecord(ctx, p, r, at)
	if existed {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.ended == nil {
			o.ended = make(map[string]string)
		}
		o.ended[p.ID] = at.service
	}
	return err
}

// wasEnded reports whether the ID was ended in a service. It waits for all.
func (o *oldRecords) wasEnded(id, service string) bool {
	o.Wait()
	return o.ended[id] == service
}

// endOldRecord ends an ID where it stood before a put. It does so as the call of that
// put: what the same owner or a newer one registered there since stays.
func (s *Store) endOldRecord(ctx context.Context, p store.Put, r store.PutResult, at location) (existed bool, err error) {
	if store.FencingVerdict(store.CallMove, store.SituationOf(s.cfg.Owner, r.Seq, r.RegisteredAt, at.record, at.tombstone)) != store.DoEnd {
		return false, nil
	}
	removed, err := s.removeAs(ctx, s.cfg.Owner, r.Seq, at.service, p.ID, "moved", r.RegisteredAt, p.Service)
	return removed.Existed, err
}

// findElsewhere finds the puts whose ID stands under another name.
func (s *Store) findElsewhere(ctx context.Context, puts []store.Put) (map[int]location, error) {
	found := make(map[int]location)
	entries := make(map[int]*redis.StringCmd)
	var unknown []int
	pipe := s.client.Pipeline()
	for i, p := range puts {
		switch lookupOf(p) {
		case "-":
		case "?":
			entries[i] = pipe.HGet(ctx, s.keys.idIndex(p.ID), p.ID)
		case "!":
			unknown = append(unknown, i)
		default:
			found[i] = location{service: p.Hints.PreviousService}
		}
	}
	if err := s.readIndex(ctx, pipe); err != nil {
		return nil, err
	}
	for i, cmd := range entries {
		if service, ok := parseIndexEntry(cmd.Val()); ok && service != puts[i].Service {
			found[i] = location{service: service}
		}
	}
	if err := s.fetchLocations(ctx, puts, found); err != nil {
		return nil, err
	}
	for i := range entries {
		if at, ok := found[i]; ok && at.empty() {
			delete(found, i)
			unknown = append(unknown, i) // the index entry is wrong
		}
	}
	if len(unknown) == 0 {
		return found, nil
	}
	for _, i := range unknown {
		at, err := s.searchServices(ctx, puts[i].ID, puts[i].Service)
		if err != nil {
			return nil, err
		}
		if at.service != "" {
			found[i] = location{service: at.service}
		}
	}
	return found, s.fetchLocations(ctx, puts, found)
}

// fetchLocations fetches what stands at the locations found.
func (s *Store) fetchLocations(ctx context.Context, puts []store.Put, found map[int]location) error {
	pipe := s.client.Pipeline()
	values := make(map[int]*redis.SliceCmd)
	for i, at := range found {
		if at.empty() {
			values[i] = pipe.HMGet(ctx, s.keys.records(at.service), "+"+puts[i].ID, "-"+puts[i].ID)
		}
	}
	if err := s.execWaiting(ctx, pipe); err != nil {
		return err
	}
	for i, cmd := range values {
		at := location{service: found[i].service}
		if rec, err := parseRecord(puts[i].ID, text(cmd.Val(), 0), "", ""); err == nil {
			at.record = rec
		} else if tomb, ok := parseTombstone(puts[i].ID, text(cmd.Val(), 1)); ok {
			at.tombstone = &tomb
		}
		found[i] = at
	}
	return nil
}
