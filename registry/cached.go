package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/internal/cowmap"
)

// CachedRegistry is a Backend whose Discover answers from memory: it watches
// each service that it is asked for. While the backend is unavailable, Discover
// returns the last known list with a nil error, and Lookup's Stale says so.
//
// A process's own Register and Deregister through it are in its next Discover.
// All other methods are the backend's. It is safe for concurrent use. The zero value is
// a closed registry.
type CachedRegistry struct {
	Backend
	options cacheOptions
	ctx     context.Context // ends with the cache
	cancel  context.CancelFunc
	loops   sync.WaitGroup

	services cowmap.Map[string, *cachedService]

	mu     sync.Mutex // held to replace services
	closed bool
}

var _ Backend = (*CachedRegistry)(nil)

type cacheOptions struct {
	idleTimeout time.Duration
	maxServices int
}

// CacheOption configures a CachedRegistry.
type CacheOption func(*cacheOptions)

// Defaults of a CachedRegistry.
const (
	DefaultIdleTimeout = 10 * time.Minute
	DefaultMaxServices = 10_000
)

// WithIdleTimeout stops watching a service that was not asked for during d. 0 means
// never. Default: DefaultIdleTimeout. It panics if d is negative.
func WithIdleTimeout(d time.Duration) CacheOption {
	if d < 0 {
		panic(fmt.Sprintf("registry: WithIdleTimeout: %v is negative", d))
	}
	return func(o *cacheOptions) { o.idleTimeout = d }
}

// WithMaxServices limits how many services are watched at a time. For a service
// beyond the limit Discover asks the backend, and Lookup stays not ready. 0 means no
// limit. Default: DefaultMaxServices. It panics if n is negative.
func WithMaxServices(n int) CacheOption {
	if n < 0 {
		panic(fmt.Sprintf("registry: WithMaxServices: %d is negative", n))
	}
	return func(o *cacheOptions) { o.maxServices = n }
}

// NewCachedRegistry returns a cache on a backend. Closing the cache closes the backend.
// A nil backend counts as a closed one.
func NewCachedRegistry(backend Backend, options ...CacheOption) *CachedRegistry {
	c := &CachedRegistry{Backend: backend, options: cacheOptions{idleTimeout: DefaultIdleTimeout, maxServices: DefaultMaxServices}}
	for _, o := range options {
		o(&c.options)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if c.options.idleTimeout > 0 {
		c.loops.Add(1)
		go c.removeIdle()
	}
	return c
}

// cached is one watched service.
type cachedService struct {
	name   string
	ended  <-chan struct{} // closed when its watch ends
	cancel context.CancelFunc
	used   atomic.Bool // since removeIdle last ran
	state  atomic.Pointer[cachedState]
}

// cachedState is the last known state.
type cachedState struct {
	Snapshot
	known   bool          // the backend has answered once
	changed chan struct{} // closed when there is a newer state
}

// Lookup returns the last known state of a service. It does not block and does not
// allocate. For a name not asked for before it starts the watch and returns an
// empty snapshot whose Stale matches ErrNotReady.
func (c *CachedRegistry) Lookup(serviceName string) (snap Snapshot) {
	c.lookup(serviceName, &snap)
	return snap
}

// lookup stores its result in snap, and Lookup is small enough to be inlined, because
// copying a Snapshot takes as long as finding it.
func (c *CachedRegistry) lookup(serviceName string, snap *Snapshot) {
	s := c.find(serviceName)
	if s == nil {
		_, err := c.startWatch(serviceName)
		if err == nil {
			err = opError("look up", serviceName, ErrNotReady)
		}
		*snap = emptySnapshot(serviceName, err)
		return
	}
	s.markUsed()
	state := s.state.Load()
	*snap = state.Snapshot
	if state.confirmed != nil {
		if at := state.confirmed.Load(); at != nil {
			snap.AsOf = *at
		}
	}
}

func (s *cachedService) markUsed() {
	if !s.used.Load() {
		s.used.Store(true)
	}
}

// startWatch starts the watch of a service unless it runs already.
func (c *CachedRegistry) startWatch(name string) (*cachedService, error) {
	if err := validateName("Name", name); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.ctx == nil {
		return nil, opError("look up", name, ErrClosed)
	}
	services := c.services.All()
	if s := services[name]; s != nil {
		return s, nil
	}
	if c.options.maxServices > 0 && len(services) >= c.options.maxServices {
		return nil, fmt.Errorf("look up %q: %w: %d services are cached, the limit of WithMaxServices", name, ErrNotReady, len(services))
	}
	ctx, cancel := context.WithCancel(c.ctx)
	s := &cachedService{name: name, ended: ctx.Done(), cancel: cancel}
	s.used.Store(true)
	s.state.Store(&cachedState{Snapshot: emptySnapshot(name, opError("look up", name, ErrNotReady)), changed: make(chan struct{})})
	c.services.Set(name, s)
	c.loops.Add(1)
	go func() {
		defer c.loops.Done()
		s.run(ctx, c.backend())
		c.remove(s)
	}()
	return s, nil
}

// run stores each state of the watch.
func (s *cachedService) run(ctx context.Context, w Watcher) {
	var last Snapshot
	for snap := range w.Watch(ctx, s.name) {
		last = snap
		known := !snap.AsOf.IsZero()
		if !known {
			snap.Stale = errors.Join(opError("look up", s.name, ErrNotReady), snap.Stale)
		}
		s.set(&cachedState{Snapshot: snap, known: known})
	}
	if ctx.Err() == nil && last.Stale == nil {
		last = s.state.Load().Snapshot
		last.Stale = opError("watch", s.name, ErrClosed)
		s.set(&cachedState{Snapshot: last})
	}
}

func (s *cachedService) set(state *cachedState) {
	state.changed = make(chan struct{})
	close(s.state.Swap(state).changed)
}

// remove removes a service from the cache if s is still its entry. It does so before
// the watch ends, so that a caller that sees the end does not find s again.
func (c *CachedRegistry) remove(s *cachedService) {
	defer s.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.services.Get(s.name) == s {
		c.services.Delete(s.name)
	}
}

func (c *CachedRegistry) removeIdle() {
	defer c.loops.Done()
	t := time.NewTicker(c.options.idleTimeout)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-c.ctx.Done():
			return
		}
		for _, s := range c.services.All() {
			if !s.used.Swap(false) {
				c.remove(s)
			}
		}
	}
}

// Discover answers from memory. It waits for the first state of a service, and
// returns ctx's error if that ends before.
func (c *CachedRegistry) Discover(ctx context.Context, serviceName string) ([]ServiceInfo, error) {
	if err := ctx.Err(); err != nil && !c.isClosed() {
		return nil, opError("discover", serviceName, err)
	}
	s := c.find(serviceName)
	if s == nil || c.isClosed() {
		var err error
		if s, err = c.startWatch(serviceName); err != nil {
			if errors.Is(err, ErrNotReady) {
				return c.backend().Discover(ctx, serviceName)
			}
			return nil, err
		}
	}
	s.markUsed()
	for {
		state := s.state.Load()
		if state.known {
			return cloneServices(state.Instances), nil
		}
		if errors.Is(state.Stale, ErrClosed) {
			return nil, opError("discover", serviceName, ErrClosed)
		}
		select {
		case <-state.changed:
		case <-ctx.Done():
			return nil, opError("discover", serviceName, ctx.Err())
		case <-c.ctx.Done():
			return nil, opError("discover", serviceName, ErrClosed)
		case <-s.ended: // removed as idle
			return c.Discover(ctx, serviceName)
		}
	}
}

func (c *CachedRegistry) isClosed() bool { return c.ctx == nil || c.ctx.Err() != nil }

// find returns the entry of a service, or nil.
func (c *CachedRegistry) find(name string) *cachedService {
	return c.services.Get(name)
}

// Register implements Registry.
func (c *CachedRegistry) Register(ctx context.Context, service ServiceInfo) error {
	ctx, err := AssignID(ctx, &service)
	if err != nil {
		return err
	}
	if err := c.backend().Register(ctx, service); err != nil {
		return err
	}
	c.awaitChange(ctx, service.Name, service.ID)
	c.awaitRemovals(ctx, service.ID, service.Name)
	return nil
}

// Deregister implements Registry.
func (c *CachedRegistry) Deregister(ctx context.Context, serviceID string) error {
	if err := c.backend().Deregister(ctx, serviceID); err != nil {
		return err
	}
	c.awaitRemovals(ctx, serviceID, "")
	return nil
}

// ownChangeTimeout bounds the wait until the cache shows this process's own change.
const ownChangeTimeout = time.Second

// awaitRemovals waits for the removal of an ID from the cached services that list it,
// except one.
func (c *CachedRegistry) awaitRemovals(ctx context.Context, id, except string) {
	for name, s := range c.services.All() {
		if name != except && s.state.Load().find(id) != nil {
			c.awaitChange(ctx, name, id)
		}
	}
}

// awaitChange waits until the cache shows an ID as the backend does now, if the service
// is cached.
func (c *CachedRegistry) awaitChange(ctx context.Context, name, id string) {
	s := c.find(name)
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ownChangeTimeout)
	defer cancel()
	// A read makes the watch see the change even if the push is late.
	now, err := c.Snapshot(ctx, name)
	if err != nil {
		return
	}
	want := now.find(id)
	for {
		state := s.state.Load()
		if sameRegistration(state.find(id), want) {
			return
		}
		select {
		case <-state.changed:
		case <-ctx.Done():
			return
		}
	}
}

// sameRegistration reports whether two results of find show the same registration, or none.
func sameRegistration(a, b *ServiceInfo) bool {
	return a == b || a != nil && b != nil && a.RegisteredAt.Equal(b.RegisteredAt)
}

// Close ends the watches and closes the backend.
func (c *CachedRegistry) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed || c.cancel == nil {
		return nil
	}
	c.cancel()
	c.loops.Wait()
	c.services.Clear()
	return c.backend().Close()
}
