package redisstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// writeProof remembers when the server last accepted a write of this process. A
// server that was demoted to a replica answers reads for good, with what it
// happens to hold; only a write shows what it is. A process that writes finds
// out by itself; one that only reads sends a write that changes nothing along
// with the first read of each heartbeat.
type writeProof struct {
	mu            sync.Mutex
	accepted      time.Time
	refused       time.Time // when it last said READONLY and connections were closed
	everAccepted  bool      // the server accepted a write of this process
	noPermission  bool      // the user never had the right to write: nothing is asked
	scriptLoaded  bool      // the server knows the script, as far as this process knows
	moveCheckedAt time.Time // when suspectMove last looked
}

// sendWriteProof adds the write to a batch of reads, when one is due. It returns
// nil otherwise, and on a Cluster, where each node is the primary of its slots or redirects.
func (s *Store) sendWriteProof(ctx context.Context, pipe redis.Pipeliner) *redis.Cmd {
	w := &s.writable
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.cluster || s.cfg.HeartbeatInterval <= 0 || w.noPermission || time.Since(w.accepted) < s.cfg.HeartbeatInterval {
		return nil
	}
	// Two batches may both ask while the first answer is under way: that does no harm.
	keys := []string{s.keys.prefix + "probe"}
	if !w.scriptLoaded {
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
	w.scriptLoaded = err == nil || w.scriptLoaded && !redis.HasErrorPrefix(err, "NOSCRIPT")
	w.mu.Unlock()
	if reply, ok := cmd.Val().([]any); ok && err == nil {
		err = refusal(text(reply, 1))
	}
	s.noteProof(err)
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
		w.accepted, w.everAccepted, w.noPermission = time.Now(), true, false
	case redis.HasErrorPrefix(err, "READONLY"):
		w.accepted = time.Time{}
		// A name that still leads to the replica is not looked up with each retry.
		if time.Since(w.refused) < s.cfg.HeartbeatInterval {
			return
		}
		w.refused = time.Now()
		if own, ok := s.client.(*redisclient.Client); ok {
			s.runInBackground(own.Redial)
		}
	}
}

// rightless reports whether the user never had the right to write, as far as this
// process knows. It believes that a lease ended when its owner had as long again
// to renew it, or when a later write of another shows it.
func (w *writeProof) neverPermitted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.noPermission
}

// refusal is an error of what the server said to a write in a script; nil for "".
// Redis 6.2 puts "@user_script: LINE: -" before it.
func refusal(word string) error {
	if word == "" {
		return nil
	}
	if strings.HasPrefix(word, "@user_script") {
		for range 2 {
			if _, rest, ok := strings.Cut(word, ": "); ok {
				word = rest
			}
		}
	}
	return refusalError(strings.TrimSpace(strings.TrimPrefix(word, "-")))
}

// said is an error that the server gave in a script's reply.
type refusalError string

func (s refusalError) Error() string { return string(s) }

// RedisError marks it as the server's own word, as go-redis does.
func (refusalError) RedisError() {}

func noPermission(err error) bool {
	// Redis 7.0 and older have no prefix for it in scripts.
	return err != nil && (redis.HasErrorPrefix(err, "NOPERM") || strings.Contains(err.Error(), "The user executing the script can't"))
}

// takeRefusal takes what the server said to the write of a read, or "". over are
// the leases whose owners had as long again to renew them. It returns the leases
// that count as ended, with an ErrRefused when none is proven to.
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
		return nil, unavailable(refused) // what a replica holds may be long out of date
	}
	return []string{}, fmt.Errorf("%w: %w: %w", store.ErrUnavailable, store.ErrWritesRefused, refused)
}

// noteProof takes the answer to a write that was to show whether the server
// accepts any.
func (s *Store) noteProof(err error) {
	s.noteWrite(err)
	w := &s.writable
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noPermission = !w.everAccepted && (w.noPermission || noPermission(err))
}

// suspectMove looks at most once per heartbeat, in the background, whether the
// address leads to another server by now: a connection was made, or a lease was
// found to have ended or could not be renewed, and the instance may live on that
// other server.
func (s *Store) checkForMove() {
	own, ok := s.client.(*redisclient.Client)
	if !ok || s.cfg.HeartbeatInterval <= 0 {
		return
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
		own.CheckServer(ctx)
	})
}

// inBackground runs f, which Close waits for. It does nothing after Close.
func (s *Store) runInBackground(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.loops.Go(f)
	}
}
