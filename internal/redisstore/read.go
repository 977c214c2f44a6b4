package redisstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

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
	if !s.oneSlot() {
		if ask = s.confirmUnchanged(ctx, ops); len(ask) > 0 {
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
	before := s.oneSlot()
	replica := s.sendScriptReads(ctx, ask)
	if !before && s.oneSlot() {
		replica = s.sendScriptReads(ctx, ask)
	}
	for _, o := range ask {
		if err := cmp.Or(replica, o.call.err); err != nil {
			o.answer(store.Reading{}, s.callError(context.Background(), err))
			continue
		}
		now := s.noteTime(o.service, o.call.reply)
		var r store.Reading
		var err error
		if o.service == store.Catalog {
			if r, err = s.parseCatalog(now, o.call.reply); err == nil && s.oneSlot() {
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

// sendScriptReads reads with the scripts. It returns an error if the server is a replica.
func (s *Store) sendScriptReads(ctx context.Context, ask []*readOp) error {
	calls := make([]*call, len(ask))
	for i, o := range ask {
		if o.service == store.Catalog {
			o.call = s.catalogCall()
		} else {
			o.call = s.readCall(o.service, o.known)
		}
		calls[i] = o.call
	}
	return s.sendReadCalls(ctx, calls)
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
	if !s.oneSlot() {
		c.keys = append(c.keys, s.keys.catalog)
	}
	return c
}
