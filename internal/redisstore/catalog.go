package redisstore

import (
	"errors"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// nameAgain is how long a name is listed after its longest lease ended, to a user
// without the right to write and without a later write of another: the catalog
// does not say how long its owners' leases are.
const listedAfterExpiry = time.Minute

// namesCall reads the catalog.
func (s *Store) catalogCall() *call {
	prefix, mode := s.keys.prefix, "collect"
	if s.cluster {
		prefix = ""
	}
	if s.writable.neverPermitted() {
		mode = "look"
	}
	return &call{script: readCatalogScript, keys: []string{s.keys.catalog}, args: []any{prefix, mode}}
}

// revisionOf numbers a set of names.
func revisionOf(records []*store.Record) string {
	names := make([]string, len(records))
	for i, r := range records {
		names[i] = r.ID
	}
	slices.Sort(names)
	h := fnv.New64a()
	for _, n := range names {
		h.Write([]byte(n))
		h.Write([]byte{0})
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// parseNames makes a reading of the catalog. While the backend refuses writes, a
// name whose leases ended is listed, unless a write that it accepted since shows
// that nothing renewed them.
func (s *Store) parseCatalog(now int64, reply []any) (store.Reading, error) {
	list, ok := element(reply, 1)
	if !ok || len(list)%2 != 0 {
		return store.Reading{}, unavailable(errReply)
	}
	_, refused := s.noteRefusal(text(reply, 2), nil)
	if refused != nil && !errors.Is(refused, store.ErrWritesRefused) {
		return store.Reading{}, refused
	}
	accepted := parseScore(text(reply, 3))
	r := store.Reading{Now: now}
	for i := 0; i < len(list); i += 2 {
		name, score := text(list, i), parseScore(text(list, i+1))
		if score < 0 {
			r.Tombstones = append(r.Tombstones, store.Tombstone{ID: name, Reason: store.ReasonDeregistered})
			continue
		}
		if score < now {
			if score < accepted || s.writable.neverPermitted() && score < now-listedAfterExpiry.Microseconds() {
				r.Tombstones = append(r.Tombstones, store.Tombstone{ID: name, Reason: store.ReasonExpired})
				continue
			}
			r.WritesRefused = refused
		}
		left := max(0, time.Duration(score-now)*time.Microsecond)
		// The heartbeat is not known: at least two per TTL.
		r.Records = append(r.Records, &store.Record{ID: name, ExpiresAt: score, TTL: left, HeartbeatInterval: left / 2})
		if score >= now && (r.NextExpiry == 0 || score < r.NextExpiry) {
			r.NextExpiry = score
		}
	}
	r.Rev = revisionOf(r.Records)
	return r, nil
}
