package redisstore

import (
	"errors"
	"slices"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// parseReading parses the reply of the read script.
func (s *Store) parseReading(now int64, reply []any) (store.Reading, error) {
	r := store.Reading{Now: now, Rev: text(reply, 1), NextExpiry: parseScore(text(reply, 3))}
	kind := text(reply, 2)
	over, _ := element(reply, 4)
	ended, err := s.noteRefusal(text(reply, 5), texts(over))
	if err != nil && !errors.Is(err, store.ErrWritesRefused) {
		return r, err
	}
	if r.WritesRefused = err; err != nil {
		r.NextExpiry = now - 1 // so that the next read does not treat it as confirmed
	}
	switch kind {
	case "none":
		return r, nil
	case "same":
		r.Kind = store.Unchanged
		r.Expired = ended
		return r, nil
	case "delta":
		r.Kind = store.Delta
		r.Expired = ended
		items, ok := element(reply, 6)
		if !ok || len(items)%5 != 0 {
			return r, unavailable(errReply)
		}
		for i := 0; i < len(items); i += 5 {
			parseChange(&r, items[i:i+5])
		}
		return r, nil
	case "full":
		hash, ok := element(reply, 6)
		scores, ok2 := element(reply, 7)
		if !ok || !ok2 {
			return r, unavailable(errReply)
		}
		parseFullState(&r, hash, scores, ended)
		return r, nil
	}
	return r, unavailable(errReply)
}

// hasExpired reports whether a reading says that a lease ended.
func hasExpired(r *store.Reading) bool {
	return len(r.Expired) > 0 || slices.ContainsFunc(r.Tombstones, func(t store.Tombstone) bool { return t.Reason == store.ReasonExpired })
}

// parseChange parses one change: ID, record, overlay, expiry, tombstone.
func parseChange(r *store.Reading, item []any) {
	id, value, score := text(item, 0), text(item, 1), text(item, 3)
	if value == "" {
		if t, ok := parseTombstone(id, text(item, 4)); ok {
			r.Tombstones = append(r.Tombstones, t)
		} else {
			// Its tombstone has expired as well: it was deregistered long ago.
			r.Tombstones = append(r.Tombstones, store.Tombstone{ID: id, Reason: store.ReasonDeregistered})
		}
		return
	}
	rec, err := parseRecord(id, value, text(item, 2), score)
	if err != nil || rec.ExpiresAt <= 0 {
		r.Malformed = append(r.Malformed, id)
		return
	}
	addRecord(r, rec)
}

// addRecord adds a record that is part of the revision, live or past its expiry.
func addRecord(r *store.Reading, rec *store.Record) {
	if limit := r.Now + rec.TTL.Microseconds(); rec.ExpiresAt > limit+maxExpiryAhead {
		// As collect is going to set it.
		r.ClockSetBack = true
		rec.ExpiresAt = limit
		if r.NextExpiry == 0 || limit < r.NextExpiry {
			r.NextExpiry = limit
		}
	}
	r.Records = append(r.Records, rec)
}

// maxExpiryAhead is by how much an expiry may exceed a TTL from now, in µs, before it
// shows that the clock was set back.
const maxExpiryAhead = 100_000

// parseFullState parses the whole hash and the whole sorted set. ended are the leases
// past their expiry that count as ended.
func parseFullState(r *store.Reading, hash, scores []any, ended []string) {
	expiry := make(map[string]string, len(scores)/2)
	for i := 0; i+1 < len(scores); i += 2 {
		expiry[text(scores, i)] = text(scores, i+1)
	}
	overlays := make(map[string]string)
	for i := 0; i+1 < len(hash); i += 2 {
		if field := text(hash, i); field != "" && field[0] == '~' {
			overlays[field[1:]] = text(hash, i+1)
		}
	}
	r.Records = make([]*store.Record, 0, len(scores)/2)
	for i := 0; i+1 < len(hash); i += 2 {
		field, value := text(hash, i), text(hash, i+1)
		if field == "" {
			continue
		}
		switch id := field[1:]; field[0] {
		case '-':
			if t, ok := parseTombstone(id, value); ok {
				r.Tombstones = append(r.Tombstones, t)
			}
		case '+':
			rec, err := parseRecord(id, value, overlays[id], expiry[id])
			if err != nil {
				r.Malformed = append(r.Malformed, id)
				continue
			}
			if rec.ExpiresAt <= 0 {
				continue // it has no lease
			}
			if rec.ExpiresAt < r.Now && slices.Contains(ended, id) {
				r.Tombstones = append(r.Tombstones, store.Tombstone{ID: id, Reason: store.ReasonExpired, RegisteredAt: rec.RegisteredAt, Owner: rec.Owner})
				continue
			}
			addRecord(r, rec)
		}
	}
}

// element returns a reply's element that is a list.
func element(reply []any, i int) ([]any, bool) {
	if i >= len(reply) {
		return nil, false
	}
	list, ok := reply[i].([]any)
	return list, ok
}

func texts(list []any) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = text(list, i)
	}
	return out
}
