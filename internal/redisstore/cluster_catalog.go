package redisstore

import (
	"context"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// checkCatalog compares a reading of the catalog with the services. On a Cluster the
// catalog is written separately, later than the services, and each node accepts or
// refuses writes by itself. checkCatalog removes the services without a live instance,
// if their own node accepts writes. Without evidence of their end, a watch retains
// them for a grace period.
func (s *Store) checkCatalog(ctx context.Context, r *store.Reading) error {
	listed := make(map[string]*store.Record, len(r.Records))
	names := make([]string, 0, len(r.Records)+len(r.Tombstones))
	for _, rec := range r.Records {
		listed[rec.ID] = rec
		names = append(names, rec.ID)
	}
	left := make(map[string]bool)
	for _, t := range r.Tombstones {
		names = append(names, t.ID)
		left[t.ID] = t.Reason == store.ReasonDeregistered
	}
	found, refused, err := s.liveServices(ctx, r.Now, names)
	if err != nil {
		return err
	}
	r.Records = r.Records[:0]
	unproven := make(map[string]bool) // names of whose absence only the catalog is evidence
	for i, name := range names {
		switch rec := listed[name]; found[i] {
		case serviceLives:
			if rec == nil { // it came back, and the catalog was written in the other order
				rec = &store.Record{ID: name, ExpiresAt: r.Now}
			}
			r.Records = append(r.Records, rec)
			unproven[name] = true
		case serviceUnknown:
			if rec != nil {
				r.Records = append(r.Records, rec)
			}
			unproven[name] = true
		case serviceForgotten:
			unproven[name] = left[name]
		}
	}
	r.Tombstones = slices.DeleteFunc(r.Tombstones, func(t store.Tombstone) bool { return unproven[t.ID] })
	if refused != nil {
		r.WritesRefused = refused
	}
	r.Rev = revisionOf(r.Records)
	return nil
}

// nodeAnswer is what a service's own node says about it.
type nodeAnswer uint8

const (
	serviceUnknown   nodeAnswer = iota // its node does not answer
	serviceLives                       // it has an instance, or one that is not proven to be gone
	serviceEmpty                       // all its instances are known to have ended
	serviceForgotten                   // nothing is stored, which may be a loss
)

// liveServices asks the services' nodes which services have an instance. A service that
// has none, but whose node refuses writes, counts as live; refused then says so. A
// node that does not answer does not delay the others.
func (s *Store) liveServices(ctx context.Context, now int64, names []string) (found []nodeAnswer, refused, err error) {
	found = make([]nodeAnswer, len(names))
	if len(names) == 0 {
		return found, nil, nil
	}
	pipe := s.client.Pipeline()
	counts := make([]*redis.IntCmd, len(names))
	for i, name := range names {
		counts[i] = pipe.ZCount(ctx, s.keys.leases(name), strconv.FormatInt(now, 10), "(+inf")
	}
	redisclient.Exec(ctx, pipe)
	var calls []*call
	var asked []int
	for i, name := range names {
		n, err := counts[i].Result()
		switch {
		case err != nil && s.reloadSlotsAfter(err):
		case err != nil:
			return nil, nil, unavailable(err)
		case n > 0:
			found[i] = serviceLives
		default:
			calls, asked = append(calls, s.readCall(name, store.KnownState{})), append(asked, i)
		}
	}
	if len(calls) == 0 {
		return found, nil, nil
	}
	s.sendCalls(ctx, calls)
	for j, c := range calls {
		if c.err != nil {
			if s.reloadSlotsAfter(c.err) {
				continue
			}
			return nil, nil, unavailable(c.err)
		}
		r, err := s.parseReading(s.noteTime(names[asked[j]], c.reply), c.reply)
		if err != nil {
			return nil, nil, err
		}
		state := serviceEmpty
		switch {
		case r.WritesRefused != nil:
			state, refused = serviceLives, r.WritesRefused
		case len(r.Records) > 0:
			state = serviceLives
		case r.Rev == "":
			state = serviceForgotten
		}
		found[asked[j]] = state
	}
	return found, refused, nil
}
