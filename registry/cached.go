package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// CachedRegistry is a Backend whose Discover answers from memory: it watches
// each service that it is asked for. While the backend is away, Discover
// returns the last known list with a nil error, and Lookup's Stale says so.
//
// A process's own Register and Deregister through it are in its next Discover.
// Everything else goes to the backend. It is safe for concurrent use.
type CachedRegistry struct {
	Backend
	options cacheOptions
	ctx     context.Context // ends with the cache
	cancel  context.CancelFunc
	loops   sync.WaitGroup

	services atomic.Pointer[map[string]*cachedService] // replaced, never changed

	mu     sync.Mutex // of those who replace it
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

// WithIdleTimeout stops watching a service that was not asked for during d.
// Default: DefaultIdleTimeout; 0 or less: never.
func WithIdleTimeout(d time.Duration) CacheOption {
	return func(o *cacheOptions) { o.idleTimeout = d }
}

// WithMaxServices bounds how many services are watched at a time. For a service
// beyond them Discover asks the backend, and Lookup stays not ready.
// Default: DefaultMaxServices; 0 or less: no bound.
func WithMaxServices(n int) CacheOption {
	return func(o *cacheOptions) { o.maxServices = n }
}

// NewCachedRegistry returns a cache on a backend, which it closes when it is closed.
func NewCachedRegistry(backend Backend, options ...CacheOption) *CachedRegistry {
	c := &CachedRegistry{Backend: backend, options: cacheOptions{idleTimeout: DefaultIdleTimeout, maxServices: DefaultMaxServices}}
	for _, o := range options {
		o(&c.options)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.services.Store(&map[string]*cachedService{})
	if c.options.idleTimeout > 0 {
		c.loops.Add(1)
		go c.removeIdle()
	}
	return c
}

// cached is one watched service.
type cachedService struct {
	name   string
	ended  <-chan struct{} // closed when it is watched no more
	cancel context.CancelFunc
	used   atomic.Bool // since dropIdle looked last
	state  atomic.Pointer[cachedState]
}

// cachedState is what is known; changed is closed when something newer is.
type cachedState struct {
	Snapshot
	known   bool // the backend has answered once
	changed chan struct{}
}

// Lookup returns what is known of a service, without blocking and without
// allocating. For a name not asked for before it starts the watch and returns
// an empty snapshot whose Stale matches ErrNotReady.
func (c *CachedRegistry) Lookup(serviceName string) (snap Snapshot) {
	c.lookup(serviceName, &snap)
	return snap
}

// lookup writes its result in place and leaves Lookup small enough to be
// inlined, because copying a Snapshot takes as long as finding it.
func (c *CachedRegistry) lookup(serviceName string, snap *Snapshot) {
	s := (*c.services.Load())[serviceName]
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

// follow starts watching a service, unless that runs already.
func (c *CachedRegistry) startWatch(name string) (*cachedService, error) {
	if err := validateName("Name", name); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, opError("look up", name, ErrClosed)
	}
	services := *c.services.Load()
	if s := services[name]; s != nil {
		return s, nil
	}
	if c.options.maxServices > 0 && len(services) >= c.options.maxServices {
		return nil, fmt.Errorf("look up %q: %w: %d services are cached, the most that WithMaxServices allows", name, ErrNotReady, len(services))
	}
	ctx, cancel := context.WithCancel(c.ctx)
	s := &cachedService{name: name, ended: ctx.Done(), cancel: cancel}
	s.used.Store(true)
	s.state.Store(&cachedState{Snapshot: emptySnapshot(name, opError("look up", name, ErrNotReady)), changed: make(chan struct{})})
	more := maps.Clone(services)
	more[name] = s
	c.services.Store(&more)
	c.loops.Add(1)
	go func() {
		defer c.loops.Done()
		s.run(ctx, c.Backend)
		c.remove(s)
	}()
	return s, nil
}

// run takes each state of the watch.
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

// forget takes a service out of the cache, if it still is the one meant. It is
// out before its watch ends, so that nobody who sees that end finds it again.
func (c *CachedRegistry) remove(s *cachedService) {
	defer s.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	services := *c.services.Load()
	if services[s.name] != s {
		return
	}
	fewer := maps.Clone(services)
	delete(fewer, s.name)
	c.services.Store(&fewer)
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
		for _, s := range *c.services.Load() {
			if !s.used.Swap(false) {
				c.remove(s)
			}
		}
	}
}

// Discover answers from memory. It waits for the first state of a service, and
// fails with ctx before there is one.
func (c *CachedRegistry) Discover(ctx context.Context, serviceName string) ([]ServiceInfo, error) {
	if err := ctx.Err(); err != nil && !c.isClosed() {
		return nil, opError("discover", serviceName, err)
	}
	s := (*c.services.Load())[serviceName]
	if s == nil || c.isClosed() {
		var err error
		if s, err = c.startWatch(serviceName); err != nil {
			if errors.Is(err, ErrNotReady) {
				return c.Backend.Discover(ctx, serviceName)
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
		case <-s.ended: // idle for long, but for this call
			return c.Discover(ctx, serviceName)
		}
	}
}

func (c *CachedRegistry) isClosed() bool { return c.ctx.Err() != nil }

// Register implements Registry.
func (c *CachedRegistry) Register(ctx context.Context, service ServiceInfo) error {
	ctx, err := AssignID(ctx, &service)
	if err != nil {
		return err
	}
	if err := c.Backend.Register(ctx, service); err != nil {
		return err
	}
	c.awaitChange(ctx, service.Name, service.ID)
	c.awaitRemovals(ctx, service.ID, service.Name)
	return nil
}

// Deregister implements Registry.
func (c *CachedRegistry) Deregister(ctx context.Context, serviceID string) error {
	if err := c.Backend.Deregister(ctx, serviceID); err != nil {
		return err
	}
	c.awaitRemovals(ctx, serviceID, "")
	return nil
}

// ownTimeout bounds the wait for one's own change to be seen by the cache.
const ownChangeTimeout = time.Second

// awaitWhereListed awaits an ID's end in the cached services that list it, but for one.
func (c *CachedRegistry) awaitRemovals(ctx context.Context, id, but string) {
	for name, s := range *c.services.Load() {
		if _, listed := s.state.Load().find(id); listed && name != but {
			c.awaitChange(ctx, name, id)
		}
	}
}

// await waits until the cache shows of an ID what the backend says now, if the service is cached.
func (c *CachedRegistry) awaitChange(ctx context.Context, name, id string) {
	s := (*c.services.Load())[name]
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ownChangeTimeout)
	defer cancel()
	// Reading makes the watch see it, however late the push is.
	now, err := c.Snapshot(ctx, name)
	if err != nil {
		return
	}
	want, there := find(now, id)
	for {
		state := s.state.Load()
		have, listed := state.find(id)
		if listed == there && have.Equal(want) {
			return
		}
		select {
		case <-state.changed:
		case <-ctx.Done():
			return
		}
	}
}

func (s *cachedState) find(id string) (registered time.Time, listed bool) {
	return find(s.Snapshot, id)
}

// find returns when an instance that a snapshot lists was registered.
func find(s Snapshot, id string) (registered time.Time, listed bool) {
	for _, list := range [][]ServiceInfo{s.Instances, s.Others} {
		for i := range list {
			if list[i].ID == id {
				return list[i].RegisteredAt, true
			}
		}
	}
	return time.Time{}, false
}

// Close ends the watches and closes the backend.
func (c *CachedRegistry) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.cancel()
	c.loops.Wait()
	c.services.Store(&map[string]*cachedService{})
	return c.Backend.Close()
}
