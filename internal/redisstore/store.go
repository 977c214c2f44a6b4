// Package redisstore keeps records in Redis. DESIGN.md describes its keys, and
// what each promise rests on.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/backoff"
	"github.com/rollcall-sd/rollcall/internal/batch"
	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	// patience bounds a call whose caller gave no deadline.
	defaultCallTimeout = 3 * time.Second
	// requestTimeout bounds one request; Config.Beat may bring it down.
	requestTimeout = time.Second
	// closeTimeout bounds Close, which a client handed in may hold up.
	closeTimeout = 4 * time.Second
)

var errReply = errors.New("unexpected reply to a script; is another program using these keys?")

// Config configures a Store.
type Config struct {
	Client            redis.UniversalClient
	CloseClient       func() error          // closes Client; nil when it is not ours to close
	RefreshPrimary    func(context.Context) // run with every beat, to stay with the primary; may be nil
	Namespace         string
	Owner             string        // this registry's own id: letters and digits
	HeartbeatInterval time.Duration // how often the registry beats
	Logger            *slog.Logger
}

// Store is a store.Store on Redis.
type Store struct {
	cfg     Config
	client  redis.UniversalClient
	cluster bool
	keys    keyspace
	timeout time.Duration

	ctx    context.Context // ends with the store, and with it every request
	cancel context.CancelFunc
	seq    atomic.Uint64
	clock  serverClock

	reads      *batch.Batcher[*readOp] // of what is known already, and of the catalog
	firstReads *batch.Batcher[*readOp] // of what is not: long ones do not hold up the others
	writes     *batch.Batcher[writeOp]
	batchBytes int // that writes may travel together; only the line of writes uses it
	sub        *subscription
	index      indexBatchers

	mu          sync.Mutex
	renewedRevs map[string]string // per service, as of a renewal that found all of this owner's leases
	closed      bool
	collecting  bool // tidyAll is under way
	loops       sync.WaitGroup

	writable         writeProof
	idConflicts      idConflicts // guarded by mu
	unansweredLeases unansweredLeaseCalls
}

// Open reaches the server once and returns a Store. The error wraps
// store.ErrUnavailable, or ctx's when that ended.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, client: cfg.Client, keys: newKeyspace(cfg.Namespace), renewedRevs: make(map[string]string)}
	var whole time.Duration
	if c, ok := cfg.Client.(*redis.Client); ok {
		s.client = redisclient.ContextBound(c, requestTimeout)
		whole = c.Options().ReadTimeout
	}
	s.cluster = redisclient.IsCluster(cfg.Client)
	s.clock.perService = s.cluster
	s.timeout = requestTimeout
	if cfg.HeartbeatInterval > 0 {
		s.timeout = min(s.timeout, max(cfg.HeartbeatInterval, 50*time.Millisecond))
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.reads = batch.New((&readBatcher{store: s}).send)
	s.firstReads = batch.New((&readBatcher{store: s, minTimeout: whole}).send)
	s.writes, s.batchBytes = batch.NewBounded(s.sendWrites, s.takeWrites), maxBatchBytes
	s.sub = newSubscription(s)
	if err := s.probe(ctx); err != nil {
		s.cancel()
		return nil, err
	}
	if cfg.RefreshPrimary != nil && cfg.HeartbeatInterval > 0 {
		s.loops.Add(1)
		go s.refreshPrimaryLoop()
	}
	return s, nil
}

// follow compares once per beat the connected server with what the Sentinels, or
// the server's name, say.
func (s *Store) refreshPrimaryLoop() {
	defer s.loops.Done()
	t := time.NewTicker(s.cfg.HeartbeatInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			ctx, cancel := s.requestContext()
			s.cfg.RefreshPrimary(ctx)
			cancel()
		case <-s.ctx.Done():
			return
		}
	}
}

// probe runs a first script and asks for the eviction policy and the server's run
// ID, which the user may have no right to, in one round trip; on its own goroutine because a client
// may not obey its context.
func (s *Store) probe(ctx context.Context) error {
	c := &call{script: probeScript}
	var memory, server string
	done := make(chan struct{})
	go func() {
		defer close(done)
		pipe := s.client.Pipeline()
		probe := pipe.Eval(ctx, c.script.text, []string{s.keys.prefix + "probe"})
		info := pipe.Info(ctx, "memory")
		var identity *redis.StringCmd
		if !s.cluster {
			identity = pipe.Info(ctx, "server")
		}
		redisclient.Exec(ctx, pipe)
		c.parseReply(probe)
		if memory = info.Val(); identity != nil {
			server = identity.Val()
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
			return context.DeadlineExceeded // which the socket told first
		}
		return unavailable(c.err)
	}
	s.noteTime("", c.reply)
	refused := refusal(text(c.reply, 1))
	if s.noteProof(refused); refused != nil {
		// A process that only reads can do without, but what a client of the
		// caller's reaches must not be a replica.
		if s.cfg.CloseClient == nil && redis.HasErrorPrefix(refused, "READONLY") {
			return unavailable(refused)
		}
		s.cfg.Logger.Warn("Redis refuses writes; opened to read", "error", refused)
	}
	if own, ok := s.client.(*redisclient.Client); ok {
		own.NoteServer(server)
		own.OnNewConnection(s.checkForMove)
	}
	warnOfEviction(s.cfg.Logger, memory)
	return nil
}

func unavailable(err error) error {
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return fmt.Errorf("%w: %w: %w", store.ErrUnavailable, store.ErrForeignData, err)
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// learn takes Redis's time from the reply of a script on a service.
func (s *Store) noteTime(service string, reply []any) int64 {
	now := parseScore(text(reply, 0))
	s.noteServerTime(service, now)
	return now
}

// told takes Redis's time.
func (s *Store) noteServerTime(service string, micros int64) {
	if s.clock.note(service, micros) {
		s.collectAll()
	}
}

// text returns an element of a reply, or "".
func text(reply []any, i int) string {
	if i >= len(reply) {
		return ""
	}
	t, _ := reply[i].(string)
	return t
}

func (s *Store) nextSeq() uint64 { return s.seq.Add(1) }

func (s *Store) knownRev(service string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewedRevs[service]
}

func (s *Store) setKnownRev(service, rev string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev == "" {
		delete(s.renewedRevs, service)
		return
	}
	s.renewedRevs[service] = rev
}

// until is when a call stops trying.
func deadlineOf(ctx context.Context) time.Time {
	limit := time.Now().Add(defaultCallTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(limit) {
		return d
	}
	return limit
}

// callPauses are the pauses between two tries of a call.
var retryPauses = backoff.Pauses{Min: 20 * time.Millisecond, Max: 320 * time.Millisecond}

// pause waits a short while with jitter before a call is tried again; it
// reports false when there is no time left for that.
func (s *Store) pauseBeforeRetry(ctx context.Context, tryUntil time.Time, try int) bool {
	d := retryPauses.After(try + 1)
	if time.Until(tryUntil) < d {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	return backoff.Sleep(ctx, d) == nil
}

// passing reports whether a call that failed so may succeed when tried again.
// What the server said in plain words is final, but for a server on its way up or down.
func retryable(err error) bool {
	var said redis.Error
	if !errors.As(err, &said) {
		return !errors.Is(err, errReply)
	}
	for _, prefix := range []string{"LOADING", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "BUSY", "MOVED", "ASK", "NOREPLICAS"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}

// deadline is the latest time of Redis's clock at which a request that is sent
// now may run: nobody waits for it any longer. A call that goes on is sent anew.
func (s *Store) serverDeadline(service string, tryUntil time.Time) int64 {
	if limit := time.Now().Add(s.timeout); limit.Before(tryUntil) {
		tryUntil = limit
	}
	return s.clock.at(service, tryUntil)
}

// request is the context of one request.
func (s *Store) requestContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.ctx, s.timeout)
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.reads.Close()
	s.firstReads.Close()
	s.writes.Close()
	s.closeIndex()
	s.cancel()
	var err error
	if s.cfg.CloseClient != nil {
		err = s.cfg.CloseClient()
	}
	done := make(chan struct{})
	go func() {
		s.sub.wait()
		s.loops.Wait()
		s.reads.Wait()
		s.firstReads.Wait()
		s.writes.Wait()
		s.waitIndex()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(closeTimeout):
	}
	return err
}
