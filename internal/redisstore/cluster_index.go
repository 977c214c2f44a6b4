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

// On a Cluster the catalog and the buckets of the ID index, together the index, are in
// other slots than the services. A node that does not answer delays neither the
// services on other nodes nor the other keys of the index: each key has its own
// batcher.

// indexTimeout is how long a registration waits for the index.
const indexTimeout = 300 * time.Millisecond

// indexBatchers are the batchers of the index.
type indexBatchers struct {
	mu     sync.Mutex
	byKey  map[string]*batch.Batcher[writeOp]
	closed bool
}

// indexBatcher returns the batcher of a key, or nil when the store is closed.
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

// waitIndex waits for the batchers after closeIndex, which ends their creation.
func (s *Store) waitIndex() {
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	for _, l := range s.index.byKey {
		l.Wait()
	}
}

// writeIndex updates the catalog or a bucket of the ID index. A write that fails is
// repeated by the next heartbeat or write of the record. The clock of a key's node is
// remembered under the key, after a newline, which no service's name has. The channel
// is closed after the answer or failure.
func (s *Store) writeIndex(key, what string, args ...any) <-chan struct{} {
	return s.writeIndexThen(key, nil, what, args...)
}

// writeIndexThen is writeIndex that calls then, if not nil, with the reply to a call that
// took effect, before the channel is closed.
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
		case s.tooLate(c): // once more, with the time in the reply
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

// awaitIndexWrites waits for writes of the index, so that a call's effect is seen there
// when it returns. It waits for indexTimeout at most.
func (s *Store) awaitIndexWrites(ctx context.Context, written []<-chan struct{}) {
	t := time.NewTimer(indexTimeout)
	defer t.Stop()
	for _, done := range written {
		select {
		case <-done:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// readIndex is execWaiting for reads of the index. Reads on a node that does not answer
// within indexTimeout have no value.
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

// writeIndexEntries updates the catalog and the ID index for records that are about to
// be written. It does not wait for the answers.
func (s *Store) writeIndexEntries(puts []store.Put) (entries []*indexWrite, written []<-chan struct{}) {
	ttls := make(map[string]time.Duration)
	services := make(map[string]string)
	for _, p := range puts {
		ttls[p.Service] = max(ttls[p.Service], p.TTL)
		if !store.IsGeneratedID(p.ID) {
			services[p.ID] = p.Service
		}
	}
	entries = s.writeIDIndex(services)
	for _, h := range entries {
		written = append(written, h.done)
	}
	if len(ttls) > 0 {
		written = append(written, s.writeCatalog(ttls))
	}
	return entries, written
}

// refreshCatalog updates the catalog with the services whose leases were renewed.
func (s *Store) refreshCatalog(leases []store.ServiceLeases, answers []store.Renewal) {
	ttls := make(map[string]time.Duration)
	for i, g := range leases {
		if answers[i].Err == nil && len(answers[i].Outcomes) < len(g.Leases) {
			ttls[g.Service] = g.TTL
		}
	}
	if len(ttls) > 0 {
		s.writeCatalog(ttls)
	}
}

func (s *Store) writeCatalog(ttls map[string]time.Duration) <-chan struct{} {
	args := make([]any, 0, 2*len(ttls))
	for name, d := range ttls {
		args = append(args, name, d.Milliseconds())
	}
	return s.writeIndex(s.keys.catalog, "catalog", args...)
}

// removeFromCatalog tells the catalog that a service's last instance ended.
func (s *Store) removeFromCatalog(service string) {
	s.writeIndex(s.keys.catalog, "catalog", service, 0)
}

// parseIndexEntry returns the service in a value of the ID index: "end service".
func parseIndexEntry(value string) (service string, ok bool) {
	for i := range len(value) {
		if value[i] == ' ' {
			return value[i+1:], true
		}
	}
	return "", false
}
