package redisstore

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// parseRecord reads a hash's value: [1,registration time,"owner",seq,TTL ms,
// heartbeat interval ms,flag,payload].
func parseRecord(id, value, overlay, score string) (*store.Record, error) {
	rest, ok := strings.CutPrefix(value, "[1,")
	if !ok || !strings.HasSuffix(value, "]") {
		return nil, errors.New("not a record of version 1")
	}
	var fields [6]string
	for i := range fields {
		fields[i], rest, ok = strings.Cut(rest, ",")
		if !ok {
			return nil, errors.New("record ends early")
		}
	}
	if rest == "" {
		return nil, errors.New("record ends early")
	}
	r := &store.Record{ID: id}
	var err error
	number := func(s string) int64 {
		n, e := strconv.ParseInt(s, 10, 64)
		if e != nil || n < 0 {
			err = errors.New("bad number in record")
		}
		return n
	}
	r.RegisteredAt = number(fields[0])
	owner := fields[1]
	if len(owner) < 2 || owner[0] != '"' || owner[len(owner)-1] != '"' {
		return nil, errors.New("bad owner in record")
	}
	r.Owner = unique.Make(owner[1 : len(owner)-1]).Value() // few owners have many records
	r.Seq = uint64(number(fields[2]))
	r.TTL = millis(number(fields[3]))
	r.HeartbeatInterval = millis(number(fields[4]))
	r.Payload = []byte(rest[:len(rest)-1])
	if overlay != "" {
		r.Overlay = []byte(overlay)
	}
	if score != "" {
		r.ExpiresAt = parseScore(score)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func millis(n int64) time.Duration {
	const most = int64(365 * 24 * time.Hour / time.Millisecond)
	return time.Duration(min(n, most)) * time.Millisecond
}

// parseScore reads a sorted set's score: whole microseconds, or infinity.
func parseScore(s string) int64 {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= -(1<<53) && f <= 1<<53) {
		return 0
	}
	return int64(f)
}

// parseTombstone reads a hash's value: ["reason",registration time,"owner",seq,flag].
func parseTombstone(id, value string) (store.Tombstone, bool) {
	t := store.Tombstone{ID: id}
	value, ok := strings.CutPrefix(value, `["`)
	if !ok {
		return t, false
	}
	reason, value, ok := strings.Cut(value, `",`)
	if !ok {
		return t, false
	}
	registeredAt, value, ok := strings.Cut(value, `,"`)
	if !ok {
		return t, false
	}
	owner, value, ok := strings.Cut(value, `",`)
	if !ok {
		return t, false
	}
	seq, _, _ := strings.Cut(value, ",")
	t.Seq, _ = strconv.ParseUint(seq, 10, 64)
	n, err := strconv.ParseInt(registeredAt, 10, 64)
	if err != nil {
		return t, false
	}
	t.Reason, t.RegisteredAt, t.Owner = store.Reason(strings.Clone(reason)), n, strings.Clone(owner)
	return t, true
}

// parseMessage reads a message of the scripts' commit: the previous revision, the
// revision, the time, then the changes, each part on a line of its own.
func parseMessage(text string) (store.Notice, bool) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		return store.Notice{}, false
	}
	n := store.Notice{PreviousRev: lines[0]}
	n.Reading = store.Reading{Kind: store.Delta, Rev: lines[1]}
	now, err := strconv.ParseInt(lines[2], 10, 64)
	if err != nil || n.Reading.Rev == "" {
		return store.Notice{}, false
	}
	n.Reading.Now = now
	lines = lines[3:]
	for len(lines) > 0 && lines[0] != "" {
		id := lines[0][1:]
		switch {
		case lines[0][0] == '+' && len(lines) >= 4:
			r, err := parseRecord(id, lines[2], lines[3], lines[1])
			if err != nil {
				n.Reading.Malformed = append(n.Reading.Malformed, id)
			} else {
				n.Reading.Records = append(n.Reading.Records, r)
			}
			lines = lines[4:]
		case lines[0][0] == '-' && len(lines) >= 2:
			t, ok := parseTombstone(id, lines[1])
			if !ok {
				return store.Notice{}, false
			}
			n.Reading.Tombstones = append(n.Reading.Tombstones, t)
			lines = lines[2:]
		default:
			return store.Notice{}, false
		}
	}
	if len(n.Reading.Records)+len(n.Reading.Tombstones)+len(n.Reading.Malformed) == 0 {
		return store.Notice{}, false
	}
	return n, true
}
