package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// writeProof remembers when the server last accepted a write of this process. A
// server that was demoted to a replica answers reads for good, with what it
// happens to hold; only a write shows what it is. A process that writes finds
// out by itself; one that only reads sends a write that changes nothing along
// with the first read of each heartbeat.
type writeProof struct {
	mu       sync.Mutex
	accepted time.Time
	refused  time.Time // when it last said READONLY and connections were closed
	denied   bool      // the user has no right to write: nothing is asked
	loaded   bool      // the server knows the script, as far as this process knows
	expired  bool      // a lease was found to have ended since checkServer
}

// sendWriteProof adds the write to a batch of reads, when one is due. It returns
// nil otherwise, and on a Cluster, where each node is the primary of its slots or redirects.
func (s *Store) sendWriteProof(ctx context.Context, pipe redis.Pipeliner) *redis.Cmd {
	w := &s.writable
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.cluster || s.cfg.Beat <= 0 || w.denied || time.Since(w.accepted) < s.cfg.Beat {
		return nil
	}
	// Two batches may both ask while the first answer is under way: that does no harm.
	keys := []string{s.keys.prefix + "probe"}
	if !w.loaded {
		return pipe.Eval(ctx, probeScript.text, keys)
	}
	return pipe.EvalSha(ctx, probeScript.sha, keys)
}

// checkWriteProof returns an error when the answer shows that the server is a
// replica: what it says of the registry may be long out of date.
func (s *Store) checkWriteProof(cmd *redis.Cmd) error {
	if cmd == nil {
		return nil
	}
	err := cmd.Err()
	w := &s.writable
	w.mu.Lock()
	w.loaded = err == nil || w.loaded && !redis.HasErrorPrefix(err, "NOSCRIPT")
	w.denied = redis.HasErrorPrefix(err, "NOPERM")
	w.mu.Unlock()
	s.noteWrite(err)
	if redis.HasErrorPrefix(err, "READONLY") {
		return err
	}
	return nil
}

// noteWrite takes the answer to a write.
func (s *Store) noteWrite(err error) {
	w := &s.writable
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.accepted = time.Now()
	case redis.HasErrorPrefix(err, "READONLY"):
		w.accepted = time.Time{}
		// A name that still leads to the replica is not looked up with each retry.
		if time.Since(w.refused) < s.cfg.Beat {
			return
		}
		w.refused = time.Now()
		if own, ok := s.client.(*Client); ok {
			s.inBackground(own.Redial)
		}
	}
}

// noteExpiry has the next checkServer make a connection: the address may lead to
// another server by now, on which the instance lives.
func (s *Store) noteExpiry() {
	s.writable.mu.Lock()
	defer s.writable.mu.Unlock()
	s.writable.expired = true
}

// checkServer is called once per heartbeat.
func (s *Store) checkServer(ctx context.Context) {
	s.writable.mu.Lock()
	expired := s.writable.expired
	s.writable.expired = false
	s.writable.mu.Unlock()
	if own, ok := s.client.(*Client); ok && expired {
		own.CheckServer(ctx)
	}
}

// inBackground runs f, which Close waits for. It does nothing after Close.
func (s *Store) inBackground(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.loops.Go(f)
	}
}
