package core

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// Config configures an Engine.
type Config struct {
	Store             store.Store
	TTL               time.Duration // 0: registrations do not expire, and need no heartbeat
	HeartbeatInterval time.Duration
	Logger            *slog.Logger
	Hooks             Hooks
	// Decode returns the value of a record, which it may change: no one else uses it
	// yet. An error leaves the record out.
	Decode func(service string, r *store.Record) (any, error)
}

// Engine is one registry: its own registrations, its reads and its watches. It is
// safe for concurrent use.
type Engine struct {
	cfg   Config
	store store.Store
	local store.Local // nil unless the store is one

	ctx    context.Context // ends with the engine
	cancel context.CancelFunc
	work   sync.WaitGroup // goroutines and timers that Close waits for

	mu               sync.Mutex
	closed           bool
	heartbeatRunning bool
	checkRunning     bool
	owned            map[string]*registration       // what this engine keeps alive, by ID
	former           map[string]*formerRegistration // superseded, or their Deregister failed, by ID
	pending          map[string]int                 // calls of Register under way, by ID
	deregisteredSeq  map[string]uint64              // of IDs in pending: the number of the last Deregister since
	batch            *heartbeatBatch                // of all that is owned; nil after that has changed
	reregisterQueue  reregisterQueue
	rollbacks        map[string]chan struct{} // by ID; see rollBack
	lossListeners    map[string]lossListeners

	servicesMu sync.Mutex
	services   map[string]*service

	watcherLeases watcherLeases
	availability  availability
	malformed     malformedRecords
}

// New returns an Engine, which owns the store from then on.
func New(cfg Config) *Engine {
	e := &Engine{
		cfg: cfg, store: cfg.Store,
		owned:           make(map[string]*registration),
		former:          make(map[string]*formerRegistration),
		pending:         make(map[string]int),
		deregisteredSeq: make(map[string]uint64),
		rollbacks:       make(map[string]chan struct{}),
		lossListeners:   make(map[string]lossListeners),
		services:        make(map[string]*service),
	}
	e.cfg.Hooks.setDefaults()
	e.watcherLeases.init()
	e.local, _ = cfg.Store.(store.Local)
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if shared, ok := cfg.Store.(store.SharedLocal); ok {
		shared.Attach((*companion)(e))
	}
	return e
}

// Close ends all watches and stops the heartbeat. It deregisters nothing.
func (e *Engine) Close() error {
	e.mu.Lock()
	closed := e.closed
	e.closed = true
	e.mu.Unlock()
	if closed {
		return nil
	}
	e.awaitRollbacks()
	e.cancel()
	e.wakeAll()
	e.endPendingReads()
	e.releaseWatcherLeases() // now that no subscriber is handed a state any longer
	err := e.store.Close()
	e.work.Wait()
	return err
}

// Local reports whether callers are handed the values that come with
// registrations, instead of those that Decode returns.
func (e *Engine) Local() bool { return e.local != nil }

// Closed reports whether Close was called.
func (e *Engine) Closed() bool { return e.ctx.Err() != nil }

// checkOpen returns ErrClosed after Close, and otherwise ctx's error.
func (e *Engine) checkOpen(ctx context.Context) error {
	if e.ctx.Err() != nil {
		return store.ErrClosed
	}
	return ctx.Err()
}

// start runs a goroutine that Close waits for. It reports false after Close. The
// caller holds e.mu.
func (e *Engine) start(run func()) bool {
	if e.closed {
		return false
	}
	e.work.Go(run)
	return true
}

// beginWork has Close wait until endWork is called. It reports false after Close.
func (e *Engine) beginWork() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.work.Add(1)
	return true
}

func (e *Engine) endWork() { e.work.Done() }

// sleep waits for d. It returns ErrClosed if the engine closes first, and ctx's
// error if ctx ends first.
func (e *Engine) sleep(ctx context.Context, d time.Duration) error {
	if ctx != e.ctx {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(e.ctx, cancel)()
	}
	err := backoff.Sleep(ctx, d)
	if err != nil && e.ctx.Err() != nil {
		return store.ErrClosed
	}
	return err
}
