package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/batch"
	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// On a Cluster the catalog and the hints of IDs lie on nodes of their own. A
// node that does not answer holds up neither the services on the others nor the
// other keys of the index: each key has a line of its own.

// indexPatience is how long a registration waits for the index.
const indexTimeout = 300 * time.Millisecond

// index has the lines of the catalog and the hints, by key.
type indexBatchers struct {
	mu     sync.Mutex
	byKey  map[string]*batch.Batcher[writeOp]
	closed bool
}

// indexLine returns the line of a key, or nil when the store is closed.
func (s *Store) indexBatcher(key string) *batch.Batcher[writeOp] {
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	if s.index.closed {
		return nil
	}
	l := s.index.byKey[key]
	if l == nil {
		l = batch.New(s.sendIndexWrites)
		if s.index.byKey == nil {
			s.index.byKey = make(map[string]*batch.Batcher[writeOp])
		}
		s.index.byKey[key] = l
	}
	return l
}

func (s *Store) sendIndexWrites(ops []writeOp) {
	b := &writeBatch{store: s, puts: make(map[string]*putCall)}
	for _, op := range ops {
		op.add(b)
	}
	ctx, cancel := s.requestContext()
	defer cancel()
	if len(b.calls) > 0 {
		s.sendCalls(ctx, b.calls)
	}
	for _, f := range b.finish {
		f()
	}
}

func (s *Store) closeIndex() {
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	s.index.closed = true
	for _, l := range s.index.byKey {
		l.Close()
	}
}

// waitIndex waits for the lines after closeIndex, which no line is added after.
func (s *Store) waitIndex() {
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	for _, l := range s.index.byKey {
		l.Wait()
	}
}

// tellIndex updates the catalog or a bucket of hints. What it says, the next
// heartbeat or rewrite says again. Each key's node has a clock of its own, which
// is known by the key: no service's name has a newline. The channel is closed once
// it is answered or failed.
func (s *Store) writeIndex(key, what string, args ...any) <-chan struct{} {
	return s.writeIndexThen(key, nil, what, args...)
}

// tellIndexThen is tellIndex that has then, if not nil, look at the answer to a
// call that took effect, before the channel is closed.
func (s *Store) writeIndexThen(key string, then func(*call), what string, args ...any) <-chan struct{} {
	c := &call{script: clusterIndexScript, keys: []string{key}, args: append([]any{what, 0}, args...), deadlineArg: 1, service: "\n" + key}
	o := &singleCall{ctx: s.ctx, call: c, done: make(chan struct{})}
	l := s.indexBatcher(key)
	if l == nil {
		close(o.done)
		return o.done
	}
	o.onReply = func() {
		switch {
		case c.err != nil:
		case s.tooLate(c): // once more, with the time that it told
			l.Add(&singleCall{ctx: s.ctx, call: c, done: make(chan struct{})})
		case then != nil:
			then(c)
		}
	}
	if !l.Add(o) {
		close(o.done)
	}
	return o.done
}

// awaitIndex waits for what was told, so that a call that has returned is seen
// there, but not for a node that does not answer.
func (s *Store) awaitIndexWrites(ctx context.Context, told []<-chan struct{}) {
	t := time.NewTimer(indexTimeout)
	defer t.Stop()
	for _, done := range told {
		select {
		case <-done:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// execIndex is exec for reads of the hints: those on a node that does not answer
// in a short time are left without a value.
func (s *Store) readIndex(ctx context.Context, pipe redis.Pipeliner) error {
	if pipe.Len() == 0 {
		return nil
	}
	_, err := runUntilDone(ctx, s, func() (struct{}, error) {
		ctx, cancel := context.WithTimeout(s.ctx, min(s.timeout, indexTimeout))
		defer cancel()
		for _, c := range redisclient.Exec(ctx, pipe) {
			if err := c.Err(); err != nil && err != redis.Nil && !isForeignData(err) && !s.reloadSlotsAfter(err) {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return err
}

// announce tells the catalog and the hints of records about to be written. It
// goes out beside them.
func (s *Store) writeIndexEntries(puts []store.Put) (hints []*indexWrite, told []<-chan struct{}) {
	lengths := make(map[string]time.Duration)
	services := make(map[string]string)
	for _, p := range puts {
		lengths[p.Service] = max(lengths[p.Service], p.TTL)
		if !store.IsGeneratedID(p.ID) {
			services[p.ID] = p.Service
		}
	}
	hints = s.writeIDIndex(services)
	for _, h := range hints {
		told = append(told, h.done)
	}
	if len(lengths) > 0 {
		told = append(told, s.writeCatalog(lengths))
	}
	return hints, told
}

// refreshCatalog tells the catalog of the services whose leases were renewed.
func (s *Store) refreshCatalog(leases []store.ServiceLeases, answers []store.Renewal) {
	lengths := make(map[string]time.Duration)
	for i, g := range leases {
		if answers[i].Err == nil && len(answers[i].Outcomes) < len(g.Leases) {
			lengths[g.Service] = g.TTL
		}
	}
	if len(lengths) > 0 {
		s.writeCatalog(lengths)
	}
}

func (s *Store) writeCatalog(lengths map[string]time.Duration) <-chan struct{} {
	args := make([]any, 0, 2*len(lengths))
	for name, d := range lengths {
		args = append(args, name, d.Milliseconds())
	}
	return s.writeIndex(s.keys.catalog, "catalog", args...)
}

// leaveCatalog tells the catalog that a service's last instance left.
func (s *Store) removeFromCatalog(service string) {
	s.writeIndex(s.keys.catalog, "catalog", service, 0)
}
