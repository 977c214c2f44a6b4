package redisstore

import (
	"errors"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// listedAfterExpiry is for how long after its longest lease ended a name is listed, to
// a user without the right to write, unless a later write of another user proves the
// end. The catalog does not say how long a service's leases are.
const listedAfterExpiry = time.Minute

// catalogCall returns the call that reads the catalog.
func (s *Store) catalogCall() *call {
	prefix, mode := s.keys.prefix, "collect"
	if s.oneSlot() {
		prefix = ""
	}
	if s.writable.neverPermitted() {
		mode = "look"
	}
	return &call{script: readCatalogScript, keys: []string{s.keys.catalog}, args: []any{prefix, mode}}
}

// revisionOf returns a hash of a set of names.
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

// parseCatalog parses the catalog. While the backend refuses writes, a name whose
// leases ended is listed, unless a write that it accepted since then proves that
// they were not renewed.
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
		// The heartbeat interval is not known: it is at most half of the TTL.
		r.Records = append(r.Records, &store.Record{ID: name, ExpiresAt: score, TTL: left, HeartbeatInterval: left / 2})
		if score >= now && (r.NextExpiry == 0 || score < r.NextExpiry) {
			r.NextExpiry = score
		}
	}
	r.Rev = revisionOf(r.Records)
	return r, nil
}
