package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Two calls may register one ID under two names at the same time. Each looked for the
// ID before the other had written anything, so each looks again afterwards:
//
//	step        what it does                                  what it learns
//	index       sets the ID's index entry to its own name     the last other name in the entry
//	write       writes the record
//	resolve     when both are done, reads the entry           the name in the entry now
//	            and looks at the ID under these names
//
// Of two calls, the one that set the entry second learns the first one's name. The first
// one learns the second's, unless it read the entry earlier; its record was there by
// then. So in every order at least one of the two finds both records. It ends the older:
// between two owners the one with the earlier registration time, of one owner the one of
// the earlier call. It does so with the newer one's owner, number and time, as if that
// had moved the ID, so the older one's owner learns of it with its next heartbeat.
//
// What was not answered is done again after each heartbeat until it is, from the index
// step on. The index keeps the last other name for an hour, so that a call whose own name
// stands in the entry already learns it again.

// idConflicts are IDs that may stand under two names, with the name under which this
// owner registered them. Guarded by Store.mu.
type idConflicts map[string]string

// maxIDConflicts bounds them. Beyond it, the next registration of an ID resolves its conflict.
const maxIDConflicts = 100_000

// indexWrite is one call that set the index entries of these IDs, in this order.
type indexWrite struct {
	ids    []string
	done   <-chan struct{}
	before []string // the last other names in the entries; nil if it was not answered. Read it after done is closed.
}

// resolveIDConflicts finds other registrations of IDs that were written under a name,
// by ID, and ends the older of each two. entries are the calls that set their entries.
// What ending ends, while the entries are read, needs no second look.
func (s *Store) resolveIDConflicts(ctx context.Context, written map[string]string, entries []*indexWrite, ending *oldRecords) error {
	if len(written) == 0 {
		return nil
	}
	before := make(map[string]string)
	for _, h := range entries {
		select {
		case <-h.done:
			for i, id := range h.ids {
				if i < len(h.before) {
					before[id] = h.before[i]
				}
			}
		default:
		}
	}
	pipe := s.client.Pipeline()
	now := make(map[string]*redis.StringCmd, len(written))
	for id := range written {
		now[id] = pipe.HGet(ctx, s.keys.idIndex(id), id)
	}
	if err := s.readIndex(ctx, pipe); err != nil {
		s.keepIDConflicts(written)
		return err
	}
	open := make(map[string]string)
	for id, service := range written {
		prev, answered := before[id]
		err := now[id].Err()
		if !answered || err != nil && err != redis.Nil {
			open[id] = service
		}
		for _, other := range []string{prev, indexedService(now[id])} {
			if other == "" || other == service || ending.wasEnded(id, other) {
				continue
			}
			if err := s.resolveIDConflict(ctx, id, service, other); err != nil {
				open[id] = service
			}
		}
	}
	s.keepIDConflicts(open)
	return nil
}

func indexedService(cmd *redis.StringCmd) string {
	service, _ := parseIndexEntry(cmd.Val())
	return service
}

// resolveIDConflict ends the older of an ID's registrations under two names, if there
// are two.
func (s *Store) resolveIDConflict(ctx context.Context, id, a, b string) error {
	puts := []store.Put{{ID: id}, {ID: id}}
	found := map[int]location{0: {service: a}, 1: {service: b}}
	if err := s.fetchLocations(ctx, puts, found); err != nil {
		return err
	}
	newer, older := found[0], found[1]
	if newer.record == nil || older.record == nil {
		return nil
	}
	if standsOver(older.record, newer.record) {
		newer, older = older, newer
	}
	if _, err := s.removeAs(ctx, newer.record.Owner, newer.record.Seq, older.service, id, "moved", newer.record.RegisteredAt, newer.service); err != nil {
		return err
	}
	// The index entry may have the older one's name.
	s.writeIDIndex(map[string]string{id: newer.service})
	return nil
}

// standsOver reports whether a stands rather than b.
func standsOver(a, b *store.Record) bool {
	if a.Owner == b.Owner {
		return a.Seq > b.Seq
	}
	return store.Newer(a.RegisteredAt, a.Owner, b.RegisteredAt, b.Owner)
}

// writeIDIndex sets the index entries of IDs to their services.
func (s *Store) writeIDIndex(services map[string]string) []*indexWrite {
	byKey := make(map[string]*indexWrite)
	args := make(map[string][]any)
	var calls []*indexWrite
	for id, service := range services {
		key := s.keys.idIndex(id)
		h := byKey[key]
		if h == nil {
			h = new(indexWrite)
			byKey[key] = h
			calls = append(calls, h)
		}
		h.ids = append(h.ids, id)
		args[key] = append(args[key], id, service)
	}
	for key, h := range byKey {
		h.done = s.writeIndexThen(key, func(c *call) {
			if c.err == nil && len(c.reply) == 2+len(h.ids) {
				h.before = texts(c.reply[2:])
			}
		}, "ids", args[key]...)
	}
	return calls
}

// keepIDConflicts remembers IDs whose conflicts could not be resolved.
func (s *Store) keepIDConflicts(ids map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, service := range ids {
		if s.idConflicts == nil {
			s.idConflicts = make(idConflicts)
		}
		if len(s.idConflicts) < maxIDConflicts {
			s.idConflicts[id] = service
		}
	}
}

// resolveKeptIDConflicts resolves, in the background, what could not be resolved before.
func (s *Store) resolveKeptIDConflicts() {
	s.mu.Lock()
	ids := s.idConflicts
	s.idConflicts = nil
	s.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	s.runInBackground(func() {
		entries := s.writeIDIndex(ids)
		s.awaitIDIndex(s.ctx, entries)
		_ = s.resolveIDConflicts(s.ctx, ids, entries, new(oldRecords)) // what fails is kept for the next heartbeat
	})
}

func (s *Store) awaitIDIndex(ctx context.Context, entries []*indexWrite) {
	answered := make([]<-chan struct{}, len(entries))
	for i, h := range entries {
		answered[i] = h.done
	}
	s.awaitIndexWrites(ctx, answered)
}
