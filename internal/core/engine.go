// Package core is the registry's logic, once, on records: owning
// registrations, heartbeats and healing, authoritative reads, and watches that
// drop an instance only on evidence. It works on any store.Store.
package core

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// patience bounds a call whose caller gave no deadline.
const defaultReadTimeout = 3 * time.Second

// Config configures an Engine.
type Config struct {
	Store             store.Store
	Owner             string        // the id that Store writes as
	TTL               time.Duration // 0: registrations do not expire, and need no heartbeat
	HeartbeatInterval time.Duration
	Logger            *slog.Logger
	Hooks             Hooks
	// Decode makes the value of a record, which nobody else uses yet; an error leaves the record out.
	Decode func(group string, r *store.Record) (any, error)
}

// Engine is one registry: its own registrations, its reads and its watches.
type Engine struct {
	cfg     Config
	store   store.Store
	instant store.Local // nil unless the store is one

	ctx    context.Context // ends with the engine
	cancel context.CancelFunc
	loops  sync.WaitGroup

	mu               sync.Mutex
	closed           bool
	heartbeatRunning bool
	checkRunning     bool
	owned            map[string]*registration
	batch            *heartbeatBatch                // of all that is owned; nil when that changed since
	former           map[string]*formerRegistration // superseded, or their Deregister failed: another one must not end the newer
	pending          map[string]int                 // registrations under way, by ID
	deregisteredSeq  map[string]uint64              // of those with one under way: the last call that deregistered the ID meanwhile
	lossListeners    map[string]map[*lossListener]struct{}
	reregisterQueue  reregisterQueue
	rollbacks        map[string]chan struct{} // by ID: registrations being removed whose caller gave up

	servicesMu sync.Mutex
	services   map[string]*service

	watcherLeases watcherLeases
	availability  availability
	bad           badRecords
}

// New returns an Engine, which owns the store from then on.
func New(cfg Config) *Engine {
	e := &Engine{
		cfg: cfg, store: cfg.Store,
		owned:           make(map[string]*registration),
		former:          make(map[string]*formerRegistration),
		deregisteredSeq: make(map[string]uint64),
		pending:         make(map[string]int),
		lossListeners:   make(map[string]map[*lossListener]struct{}),
		rollbacks:       make(map[string]chan struct{}),
		services:        make(map[string]*service),
	}
	at := &e.watcherLeases
	at.sending, at.queue, at.leases = make(chan struct{}, 1), make(map[string]struct{}), make(map[string]time.Time)
	at.ctx, at.cancel = context.WithCancel(context.Background())
	e.instant, _ = cfg.Store.(store.Local)
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Close ends all watches and stops the heartbeat; it deregisters nothing.
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
	e.releaseWatcherLeases() // once no loop is handed a state any longer
	err := e.store.Close()
	e.loops.Wait()
	return err
}

// Instant reports whether readers are handed the values that come with
// registrations, rather than what they decode.
func (e *Engine) Instant() bool { return e.instant != nil }

// Closed reports whether Close was called.
func (e *Engine) Closed() bool { return e.ctx.Err() != nil }

// alive returns ErrClosed after Close, or ctx's error when that ended.
func (e *Engine) checkOpen(ctx context.Context) error {
	if e.ctx.Err() != nil {
		return store.ErrClosed
	}
	return ctx.Err()
}

// start runs a loop that Close waits for. It reports false after Close. e.mu is held.
func (e *Engine) start(loop func()) bool {
	if e.closed {
		return false
	}
	e.loops.Add(1)
	go func() {
		defer e.loops.Done()
		loop()
	}()
	return true
}

// enter keeps Close waiting until leave is called. It reports false after Close.
func (e *Engine) beginWork() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.loops.Add(1)
	return true
}

func (e *Engine) endWork() { e.loops.Done() }

// sleep waits, and reports false when the engine closes first.
func (e *Engine) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.ctx.Done():
		return false
	}
}

// badRecords remembers which unreadable records were reported.
type badRecords struct {
	mu   sync.Mutex
	seen map[[2]string]bool
}

// maxBadSeen bounds what is remembered; beyond it a record may be reported again.
const maxBadRecords = 10_000

func (e *Engine) reportBadRecord(group, id string, why error) {
	e.bad.mu.Lock()
	key := [2]string{group, id}
	seen := e.bad.seen[key]
	if !seen {
		if e.bad.seen == nil || len(e.bad.seen) >= maxBadRecords {
			e.bad.seen = make(map[[2]string]bool)
		}
		e.bad.seen[key] = true
	}
	e.bad.mu.Unlock()
	if seen {
		return
	}
	e.cfg.Hooks.badRecord(group, id)
	e.cfg.Logger.Warn("a record cannot be read and is left out", "service", group, "id", id, "error", why)
}
