package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// On a Cluster a script reaches one service. What spans several (the catalog,
// the hints of IDs, an ID that moves) takes calls of its own, in an order in
// which no reader misses an instance.

// place is where an ID stands already, or has a trace. rec and tomb are nil
// when it was not looked at.
type location struct {
	service   string
	record    *store.Record
	tombstone *store.Tombstone
}

// empty reports whether nothing was found there.
func (p location) empty() bool { return p.record == nil && p.tombstone == nil }

// stamp is the registration time of what was found.
func (p location) registeredAt() int64 {
	switch {
	case p.record != nil:
		return p.record.RegisteredAt
	case p.tombstone != nil:
		return p.tombstone.RegisteredAt
	}
	return 0
}

// rule says what a call of this owner, later than all before, does there.
func (s *Store) fencingVerdict(call store.Call, stamp int64, at location) store.Verdict {
	return store.FencingVerdict(call, store.SituationOf(s.cfg.Owner, store.LatestSeq, stamp, at.record, at.tombstone))
}

// putOnCluster looks up where IDs that are not this owner's stand, writes them,
// and then ends them where they stood.
func (s *Store) putOnCluster(ctx context.Context, puts []store.Put) []store.PutResult {
	elsewhere, err := s.findElsewhere(ctx, puts)
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
	hints, told := s.writeIndexEntries(todo)
	written := s.put(ctx, todo)
	s.awaitIndexWrites(ctx, told)
	chosen := make(map[string]string)
	for j, r := range written {
		i := index[j]
		results[i] = r
		at, ok := elsewhere[i]
		if ok && r.Err == nil && r.Outcome == store.Done {
			results[i].Err = s.endOldRecord(ctx, puts[i].ID, r, at)
		}
		if r.Err == nil && r.Outcome == store.Done && !store.IsGeneratedID(puts[i].ID) {
			chosen[puts[i].ID] = puts[i].Service
		}
	}
	// Its error is no error of the registrations: the next heartbeat settles them.
	_ = s.resolveIDConflicts(ctx, chosen, hints)
	return results
}

// endElsewhere ends an ID where it stood before a put. It does so as that very
// call: what its owner or a newer one has registered there since stays.
func (s *Store) endOldRecord(ctx context.Context, id string, r store.PutResult, at location) error {
	if store.FencingVerdict(store.CallMove, store.SituationOf(s.cfg.Owner, r.Seq, r.RegisteredAt, at.record, at.tombstone)) != store.DoEnd {
		return nil
	}
	_, err := s.removeAs(ctx, s.cfg.Owner, r.Seq, at.service, id, "moved", r.RegisteredAt)
	return err
}

// elsewhere finds the puts whose ID stands under another name.
func (s *Store) findElsewhere(ctx context.Context, puts []store.Put) (map[int]location, error) {
	found := make(map[int]location)
	hints := make(map[int]*redis.StringCmd)
	var scan []int
	pipe := s.client.Pipeline()
	for i, p := range puts {
		switch lookupOf(p) {
		case "-":
		case "?":
			hints[i] = pipe.HGet(ctx, s.keys.idIndex(p.ID), p.ID)
		case "!":
			scan = append(scan, i)
		default:
			found[i] = location{service: p.Hints.PreviousService}
		}
	}
	if err := s.readIndex(ctx, pipe); err != nil {
		return nil, err
	}
	for i, cmd := range hints {
		if service, ok := parseIndexEntry(cmd.Val()); ok && service != puts[i].Service {
			found[i] = location{service: service}
		}
	}
	if err := s.fetchLocations(ctx, puts, found); err != nil {
		return nil, err
	}
	for i := range hints {
		if at, ok := found[i]; ok && at.empty() {
			delete(found, i)
			scan = append(scan, i) // the hint is wrong
		}
	}
	if len(scan) == 0 {
		return found, nil
	}
	for _, i := range scan {
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

// fetch looks at the places found.
func (s *Store) fetchLocations(ctx context.Context, puts []store.Put, found map[int]location) error {
	pipe := s.client.Pipeline()
	values := make(map[int]*redis.SliceCmd)
	for i, at := range found {
		if at.empty() {
			values[i] = pipe.HMGet(ctx, s.keys.base(at.service)+":h", "+"+puts[i].ID, "-"+puts[i].ID)
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

// hinted reads a hint: "end service".
func parseIndexEntry(value string) (service string, ok bool) {
	for i := range len(value) {
		if value[i] == ' ' {
			return value[i+1:], true
		}
	}
	return "", false
}

// foreign reports whether another program's data is in the place of a key. It is
// an error of that command only, and not of the others in a pipeline.
func isForeignData(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }

// exec runs a pipeline and waits for it or for ctx. That a key is missing, or is
// another program's, is no error.
func (s *Store) execWaiting(ctx context.Context, pipe redis.Pipeliner) error {
	if pipe.Len() == 0 {
		return nil
	}
	_, err := runUntilDone(ctx, s, func() ([]redis.Cmder, error) {
		ctx, cancel := s.requestContext()
		defer cancel()
		cmds := redisclient.Exec(ctx, pipe)
		for _, c := range cmds {
			if c.Err() != nil && c.Err() != redis.Nil && !isForeignData(c.Err()) {
				s.reloadSlotsAfter(c.Err())
				return nil, c.Err()
			}
		}
		return cmds, nil
	})
	return err
}

// waitFor runs f, which the store then waits for in Close, until it ends or ctx does.
func runUntilDone[T any](ctx context.Context, s *Store, f func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var zero T
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return zero, store.ErrClosed
	}
	s.loops.Add(1)
	s.mu.Unlock()
	done := make(chan answer, 1)
	go func() {
		defer s.loops.Done()
		v, err := f()
		done <- answer{v, err}
	}()
	select {
	case a := <-done:
		if a.err != nil {
			return zero, s.callError(ctx, a.err)
		}
		return a.value, nil
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}

// tidy has a service pruned and its leases clamped.
func (s *Store) collect(service string) {
	base := s.keys.base(service)
	c := &call{script: collectScript, keys: []string{base + ":h", base + ":z"}, args: []any{s.cfg.Owner, s.nextSeq(), service, 0},
		deadlineArg: 3, service: service}
	if !s.cluster {
		c.keys = append(c.keys, s.keys.catalog)
	}
	s.sendWithoutWaiting(c)
}
