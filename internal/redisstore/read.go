package redisstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// readOp is one read that waits for its answer.
type readOp struct {
	service string
	known   store.KnownState
	done    func(store.Reading, error)

	rev            *redis.StringCmd // the present revision, for a reader that knows one
	call           *call
	connectionLost bool // the connection ended during the first request
	failed         bool
}

func (o *readOp) answer(r store.Reading, err error) {
	o.failed = err != nil
	o.done(r, err)
}

// Read implements store.Store. Reads that wait are sent together: one round trip when
// nothing changed, and a second for the services that changed. First reads, whose
// replies may be long, are sent separately.
func (s *Store) Read(service string, known store.KnownState, done func(store.Reading, error)) {
	batcher := s.reads
	if known.Rev == "" && service != store.Catalog {
		batcher = s.firstReads
	}
	send := batcher.Add
	if known.Hints.Blocking {
		send = batcher.Do
	}
	if !send(&readOp{service: service, known: known, done: done}) {
		done(store.Reading{}, store.ErrClosed)
	}
}

const (
	// readTimeout bounds a request of reads, and shortReadTimeout one that follows a
	// request without an answer. With both, a watch, which reads once per heartbeat
	// interval, reports an outage within a heartbeat interval + 1 s.
	readTimeout      = 7 * requestTimeout / 10
	shortReadTimeout = requestTimeout / 5
)

// readBatcher sends the reads of one batcher, which alone uses it.
type readBatcher struct {
	store *Store
	// minTimeout is the minimum timeout: a client that the caller made limits the time
	// of a whole reply, however long it is.
	minTimeout time.Duration
	// timedOut: the last batch was not answered in time.
	timedOut bool
}

func (l *readBatcher) send(ops []*readOp) {
	s := l.store
	timeout, shortened := min(s.timeout, readTimeout), l.timedOut
	if shortened {
		timeout = min(timeout, shortReadTimeout)
	}
	timeout = max(timeout, l.minTimeout)
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	// Measured, because a socket's deadline may end before the context's. The timeout is
	// not shortened twice in a row: a distant server needs more time than that.
	began := time.Now()
	defer func() {
		l.timedOut = time.Since(began) > timeout*9/10 && !shortened && slices.ContainsFunc(ops, func(o *readOp) bool { return o.failed })
	}()
	ask := ops
	if !s.cluster {
		if ask = s.sendChecks(ctx, ops); len(ask) > 0 {
			ask = s.sendPlainReads(ctx, ask)
		}
	}
	if len(ask) == 0 {
		return
	}
	if !slices.ContainsFunc(ops, func(o *readOp) bool { return o.failed || o.connectionLost }) {
		// All requests were answered so far, which may have taken long on a slow line.
		var again context.CancelFunc
		ctx, again = context.WithTimeout(s.ctx, timeout)
		defer again()
	}
	calls := make([]*call, len(ask))
	for i, o := range ask {
		if o.service == store.Catalog {
			o.call = s.catalogCall()
		} else {
			o.call = s.readCall(o.service, o.known)
		}
		calls[i] = o.call
	}
	s.sendCalls(ctx, calls)
	for _, o := range ask {
		if o.call.err != nil {
			o.answer(store.Reading{}, s.callError(context.Background(), o.call.err))
			continue
		}
		now := s.noteTime(o.service, o.call.reply)
		var r store.Reading
		var err error
		if o.service == store.Catalog {
			if r, err = s.parseCatalog(now, o.call.reply); err == nil && s.cluster {
				err = s.checkCatalog(ctx, &r)
			}
		} else {
			r, err = s.parseReading(now, o.call.reply)
		}
		if r.ClockSetBack {
			s.collect(o.service)
		}
		if hasExpired(&r) || r.WritesRefused != nil {
			s.checkForMove()
		}
		o.answer(r, err)
	}
}

// sendChecks reads the revisions of services that readers know, and then the time, so
// that what it confirms had not expired. It answers the reads of services that did
// not change and returns the others.
func (s *Store) sendChecks(ctx context.Context, ops []*readOp) (ask []*readOp) {
	pipe := s.client.Pipeline()
	checked := make([]*readOp, 0, len(ops))
	for _, o := range ops {
		if o.known.Rev == "" || o.known.Hints.ChangedLast || o.known.ProveAbsence || o.service == store.Catalog {
			ask = append(ask, o)
			continue
		}
		o.rev = pipe.HGet(ctx, s.keys.records(o.service), "rev")
		checked = append(checked, o)
	}
	if len(checked) == 0 {
		return ask
	}
	proof := s.sendWriteProof(ctx, pipe)
	clock := pipe.Time(ctx)
	redisclient.Exec(ctx, pipe)
	now, err := clock.Result()
	if refused := s.checkWriteProof(proof); refused != nil {
		err = refused
	}
	if err == nil {
		s.noteServerTime("", now.UnixMicro())
	}
	for _, o := range checked {
		rev, revErr := o.rev.Result()
		switch {
		case err != nil && redisclient.ConnectionLost(err) && ctx.Err() == nil:
			o.connectionLost = true
			ask = append(ask, o) // the script answers as well, on a new connection
		case err != nil:
			o.answer(store.Reading{}, s.callError(context.Background(), err))
		case revErr == nil && rev == o.known.Rev && (o.known.NextExpiry == 0 || o.known.NextExpiry >= now.UnixMicro()):
			o.answer(store.Reading{Kind: store.Unchanged, Now: now.UnixMicro(), Rev: rev, NextExpiry: o.known.NextExpiry}, nil)
		default:
			ask = append(ask, o)
		}
	}
	return ask
}

// hasExpired reports whether a reading says that a lease ended.
func hasExpired(r *store.Reading) bool {
	return len(r.Expired) > 0 || slices.ContainsFunc(r.Tombstones, func(t store.Tombstone) bool { return t.Reason == store.ReasonExpired })
}

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

// readCall returns the call that reads a service with the script.
func (s *Store) readCall(service string, known store.KnownState) *call {
	mode := "collect"
	switch {
	case s.writable.neverPermitted():
		mode = "look"
	case known.ProveAbsence:
		mode = "prove"
	}
	c := &call{script: readScript, keys: s.keys.ofService(service),
		args: []any{known.Rev, s.cfg.Owner, s.nextSeq(), service, mode}}
	if !s.cluster {
		c.keys = append(c.keys, s.keys.catalog)
	}
	return c
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
