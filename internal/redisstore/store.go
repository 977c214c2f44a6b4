// Package redisstore is the store on Redis. DESIGN.md describes its keys, its scripts
// and what each promise rests on.
//
//	store.go                a Store's life
//	keys.go                 the keys, one function each
//	record_format.go        records, tombstones and messages as they are stored
//	scripts.go, lua/        the scripts, and how a call is sent
//	slot_mode.go            whether a script reaches the keys of one slot only
//	retry.go, errors.go     which calls are retried, and after which pause
//	write_batch.go          writes that travel together
//	put.go, renew.go, remove.go, overlay_patch.go, watcher_lease.go
//	                        one write each
//	events.go               what is remembered of a service's changes
//	read.go, read_*.go      reads: of what is unchanged, with plain commands, with a script
//	catalog.go              the names of the services
//	id_lookup.go            where an ID stands, on one server
//	cluster_*.go            what takes several steps where a script reaches one slot
//	subscription.go         pushed changes
//	server_clock.go         Redis's time, as estimated here
//	write_proof.go          whether the server accepts writes
//	collect.go              removal of what has expired
package redisstore

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/batch"
	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

const (
	// requestTimeout bounds one request. A shorter heartbeat interval reduces it.
	requestTimeout = time.Second
	// closeTimeout bounds Close, which a client made by the caller may block.
	closeTimeout = 4 * time.Second
)

// Config configures a Store.
type Config struct {
	Client            redis.UniversalClient
	CloseClient       func() error          // closes Client; nil when the caller closes it
	RefreshPrimary    func(context.Context) // called once per heartbeat interval; may be nil
	Namespace         string
	Owner             string        // the owner ID of this registry value: letters and digits
	Name              string        // how events show this process; no control characters
	HeartbeatInterval time.Duration // 0: the registry renews nothing
	Logger            *slog.Logger
}

// Store is a store.Store on Redis.
type Store struct {
	cfg     Config
	client  redis.UniversalClient
	keys    keyspace
	timeout time.Duration

	slotwise atomic.Bool // one slot per script: see slot_mode.go

	ctx    context.Context // ends with the store, and with it every request
	cancel context.CancelFunc
	seq    atomic.Uint64
	clock  serverClock

	reads      *batch.Batcher[*readOp] // of services known already, and of the catalog
	firstReads *batch.Batcher[*readOp] // of other services: a long reply does not delay the others
	writes     *batch.Batcher[writeOp]
	batchBytes int // the limit of a batch of writes; only the batcher of writes uses it
	sub        *subscription
	index      indexBatchers

	mu          sync.Mutex
	renewedRevs map[string]string // per service, as of a renewal that found all of this owner's leases
	closed      bool
	collecting  bool // collectAll is under way
	loops       sync.WaitGroup

	writable         writeProof
	idConflicts      idConflicts // guarded by mu
	unansweredLeases unansweredLeaseCalls
}

// Open contacts the server once and returns a Store. Its error wraps
// store.ErrUnavailable, or is ctx's.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, client: cfg.Client, keys: newKeyspace(cfg.Namespace), renewedRevs: make(map[string]string)}
	var firstReadTimeout time.Duration
	if c, ok := cfg.Client.(*redis.Client); ok {
		s.client = redisclient.ContextBound(c, requestTimeout)
		firstReadTimeout = c.Options().ReadTimeout
	}
	if redisclient.IsCluster(cfg.Client) {
		s.useOneSlot()
	}
	s.timeout = requestTimeout
	if cfg.HeartbeatInterval > 0 {
		s.timeout = min(s.timeout, max(cfg.HeartbeatInterval, 50*time.Millisecond))
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.reads = batch.New((&readBatcher{store: s}).send)
	s.firstReads = batch.New((&readBatcher{store: s, minTimeout: firstReadTimeout}).send)
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

// refreshPrimaryLoop compares, once per heartbeat interval, the connected server with
// the one that the Sentinels or the server's name lead to.
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

// probe runs a first script, finds out whether a script may have keys in two slots, and
// asks for the eviction policy and the server's run ID, in one round trip. The user need
// not have the right to the last two. It has a goroutine
// of its own because a client that the caller made may not obey its context.
func (s *Store) probe(ctx context.Context) error {
	c := &call{script: probeScript}
	var memory, server string
	var crossing error
	done := make(chan struct{})
	go func() {
		defer close(done)
		pipe := s.client.Pipeline()
		probe := pipe.Eval(ctx, c.script.text, []string{s.keys.probe()})
		info := pipe.Info(ctx, "memory")
		var identity *redis.StringCmd
		var twoSlots *redis.Cmd
		if !s.oneSlot() {
			identity = pipe.Info(ctx, "server")
			twoSlots = pipe.Eval(ctx, twoSlotsScript, s.keys.inTwoSlots())
		}
		redisclient.Exec(ctx, pipe)
		c.parseReply(probe)
		if memory = info.Val(); identity != nil {
			server, crossing = identity.Val(), twoSlots.Err()
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
			return context.DeadlineExceeded // the socket's deadline ended before the context
		}
		return unavailable(c.err)
	}
	s.noteTime("", c.reply)
	refused := refusal(text(c.reply, 1))
	if s.noteProof(refused); refused != nil {
		// A process that only reads needs no writes. But a client that the caller made
		// must not lead to a replica.
		if s.cfg.CloseClient == nil && redis.HasErrorPrefix(refused, "READONLY") {
			return unavailable(refused)
		}
		s.cfg.Logger.Warn("Redis refuses writes; opened to read", "error", refused)
	}
	if refusesTwoSlots(crossing) {
		s.useOneSlot()
	}
	if own, ok := s.client.(*redisclient.Client); ok {
		own.NoteServer(server)
		own.OnNewConnection(s.checkForMove)
	}
	warnOfEviction(s.cfg.Logger, memory)
	return nil
}

// noteTime takes Redis's time from the reply of a script on a service, and returns it.
func (s *Store) noteTime(service string, reply []any) int64 {
	now := parseScore(text(reply, 0))
	s.noteServerTime(service, now)
	return now
}

// noteServerTime takes Redis's time. A clock that was set back has all services collected.
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

// serverDeadline returns the latest time of Redis's clock at which a request that is
// sent now may run. After it no caller waits for this request; a call that goes on is
// sent again.
func (s *Store) serverDeadline(service string, tryUntil time.Time) int64 {
	if limit := time.Now().Add(s.timeout); limit.Before(tryUntil) {
		tryUntil = limit
	}
	return s.clock.at(service, tryUntil)
}

// requestContext returns the context of one request.
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
