package redisstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// writeProof remembers when the server last accepted a write of this process. A server
// that was demoted to a replica keeps answering reads, with what it holds; only a
// write shows that it is one. A process that only reads therefore sends a write that
// changes nothing with its first read in each heartbeat interval, and again with each
// further request of reads while that write has no answer.
type writeProof struct {
	mu            sync.Mutex
	accepted      time.Time
	refused       time.Time // when it last replied READONLY and connections were closed
	everAccepted  bool      // the server accepted a write of this process
	noPermission  bool      // the user never had the right to write: no proof is sent
	scriptLoaded  bool      // the server knows the script, as far as this process knows
	moveCheckedAt time.Time // when checkForMove last checked
}

// sendWriteProof adds the write to a pipeline of reads, when one is due. It returns nil
// otherwise, and with one slot per script: a Cluster's node is the primary of its slots
// or redirects, and a proxy leads to primaries.
func (s *Store) sendWriteProof(ctx context.Context, pipe redis.Pipeliner) *redis.Cmd {
	if !s.writeProofDue() {
		return nil
	}
	keys := []string{s.keys.probe()}
	w := &s.writable
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.scriptLoaded {
		return pipe.Eval(ctx, probeScript.text, keys)
	}
	return pipe.EvalSha(ctx, probeScript.sha, keys)
}

// writeProofDue reports whether the next request of reads must have the write. Two
// pipelines may both have one: that does no harm.
func (s *Store) writeProofDue() bool {
	w := &s.writable
	w.mu.Lock()
	defer w.mu.Unlock()
	return !s.oneSlot() && s.cfg.HeartbeatInterval > 0 && !w.noPermission && time.Since(w.accepted) >= s.cfg.HeartbeatInterval
}

// sendReadCalls sends the script calls of reads, with the write if one is due. It
// returns an error if the server is a replica.
func (s *Store) sendReadCalls(ctx context.Context, calls []*call) error {
	if !s.writeProofDue() {
		s.sendCalls(ctx, calls)
		return nil
	}
	proof := &call{script: probeScript, keys: []string{s.keys.probe()}}
	s.sendCalls(ctx, append(calls, proof))
	return s.checkProofReply(proof.reply, proof.err)
}

// checkWriteProof returns an error if the reply shows that the server is a replica,
// whose data may be outdated.
func (s *Store) checkWriteProof(cmd *redis.Cmd) error {
	if cmd == nil {
		return nil
	}
	err := cmd.Err()
	w := &s.writable
	w.mu.Lock()
	w.scriptLoaded = err == nil || w.scriptLoaded && !redis.HasErrorPrefix(err, "NOSCRIPT")
	w.mu.Unlock()
	reply, _ := cmd.Val().([]any)
	return s.checkProofReply(reply, err)
}

func (s *Store) checkProofReply(reply []any, err error) error {
	if reply != nil && err == nil {
		err = refusal(text(reply, 1))
	}
	s.noteProof(err)
	if redis.HasErrorPrefix(err, "READONLY") {
		return err
	}
	return nil
}

// noteWrite takes the result of a write.
func (s *Store) noteWrite(err error) {
	w := &s.writable
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.accepted, w.everAccepted, w.noPermission = time.Now(), true, false
	case redis.HasErrorPrefix(err, "READONLY"):
		w.accepted = time.Time{}
		// Not with each retry, while the name still leads to the replica.
		if time.Since(w.refused) < s.cfg.HeartbeatInterval {
			return
		}
		w.refused = time.Now()
		if own, ok := s.client.(*redisclient.Client); ok {
			s.runInBackground(func() { own.Redial(err) })
		}
	}
}

// neverPermitted reports whether the user never had the right to write, as far as this
// process knows. To such a process a lease has ended when its owner had as much time
// again to renew it, or when a later write of another user proves it.
func (w *writeProof) neverPermitted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.noPermission
}

// noteRefusal takes the error with which the write of a read failed, or "". over are
// the leases whose owners had as much time again to renew them. It returns the leases
// that count as ended, and an ErrWritesRefused if none is proven to have ended.
func (s *Store) noteRefusal(word string, over []string) (ended []string, err error) {
	refused := refusal(word)
	if refused == nil {
		return over, nil
	}
	s.noteProof(refused)
	switch {
	case s.writable.neverPermitted():
		return over, nil
	case redis.HasErrorPrefix(refused, "READONLY"):
		return nil, unavailable(refused) // a replica's data may be outdated
	}
	return []string{}, fmt.Errorf("%w: %w: %w", store.ErrUnavailable, store.ErrWritesRefused, refused)
}

// noteProof takes the result of a write that was to show whether the server accepts
// any.
func (s *Store) noteProof(err error) {
	s.noteWrite(err)
	w := &s.writable
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noPermission = !w.everAccepted && (w.noPermission || noPermission(err))
}

// checkForMove checks, at most once per heartbeat interval and in the background,
// whether the address now leads to another server. It is called when a connection was
// made, and when a lease ended or was not renewed: the instance may be on that server.
func (s *Store) checkForMove() {
	own, ok := s.client.(*redisclient.Client)
	if !ok || s.cfg.HeartbeatInterval <= 0 || s.oneSlot() {
		return // any shard behind a proxy may say who it is
	}
	w := &s.writable
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.moveCheckedAt) < s.cfg.HeartbeatInterval {
		return
	}
	w.moveCheckedAt = time.Now()
	s.runInBackground(func() {
		ctx, cancel := s.requestContext()
		defer cancel()
		if own.CheckServer(ctx) {
			s.checkSlotMode(ctx)
		}
	})
}

// runInBackground runs f, which Close waits for. It does nothing after Close.
func (s *Store) runInBackground(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.loops.Go(f)
	}
}
