package health

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/rollcall-sd/rollcall/internal/probing"
	"github.com/rollcall-sd/rollcall/internal/turns"
	"github.com/rollcall-sd/rollcall/registry"
)

// Checker is a Backend that probes what is registered through it. Register,
// Deregister and Close are its own; everything else is the wrapped backend's.
// Join and Serve work on it. It is safe for concurrent use.
type Checker struct {
	registry.Backend
	config config
	http   *httpProber
	probes map[string]Probe // by scheme

	ctx    context.Context // ends with the Checker
	cancel context.CancelFunc
	runs   *probing.Scheduler
	// turns are of the Register calls of an ID. Without them, two at the same time could
	// reach the backend in one order and start their probes in the other: the address
	// that is probed would not be the one that is listed.
	turns turns.Turns

	mu     sync.Mutex
	closed bool
	checks map[string]*check
}

var _ registry.Backend = (*Checker)(nil)

// New returns a Checker on a backend, which it closes when it is closed. Nothing
// runs until an instance with a HealthEndpoint is registered through it; then one
// goroutine schedules all probes. An option with a bad value is refused with an
// error that names the option and matches registry.ErrInvalidConfig.
func New(backend registry.Backend, options ...Option) (*Checker, error) {
	config, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	if backend == nil {
		return nil, fmt.Errorf("%w: the backend is nil", registry.ErrInvalidConfig)
	}
	c := &Checker{
		Backend: backend,
		config:  config,
		http:    newHTTPProber(config.client),
		runs:    probing.New(config.concurrency),
		checks:  make(map[string]*check),
	}
	c.probes = map[string]Probe{"http": c.http.probe, "https": c.http.probe, "tcp": probeTCP}
	maps.Copy(c.probes, config.probes)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Register registers an instance with the backend and, if it has a
// HealthEndpoint, probes it from then on, at once for the first time.
// Registering an ID again replaces its probe; a Register that fails leaves the
// earlier one running. Calls for one ID run one after the other; each waits
// for its turn until its context ends. An endpoint for which there is no probe is refused with
// an error that matches registry.ErrInvalidService.
func (c *Checker) Register(ctx context.Context, service registry.ServiceInfo) error {
	if c.isClosed() {
		return fmt.Errorf("register an instance of %q: %w", service.Name, registry.ErrClosed)
	}
	done, err := c.takeTurn(ctx, service.ID)
	if err != nil {
		return err
	}
	defer done()
	if service.HealthEndpoint == "" {
		if err := c.Backend.Register(ctx, service); err != nil {
			return err
		}
		c.replace(service.ID, nil)
		return nil
	}
	probe, endpoint, own, err := c.probeFor(service)
	if err != nil {
		return err
	}
	if service.Status == "" {
		service.Status = c.config.initialStatus
	}
	if ctx, err = registry.AssignID(ctx, &service); err != nil {
		return err
	}
	if err := c.Backend.Register(ctx, service); err != nil {
		return err
	}
	target := Target{Instance: service.Clone(), Endpoint: endpoint}
	if own && c.config.host != nil {
		target.host = c.config.host(service.Clone())
	}
	c.replace(service.ID, newCheck(c, probe, target))
	return nil
}

// takeTurn waits until no other Register of an ID is under way, until ctx ends
// or the Checker closes. The caller calls done once its probe is in place.
func (c *Checker) takeTurn(ctx context.Context, id string) (done func(), err error) {
	if id == "" { // it will get an ID of its own
		return func() {}, nil
	}
	done, err = c.turns.Take(ctx, c.ctx.Done(), id)
	if err == turns.ErrStopped {
		err = registry.ErrClosed
	}
	if err != nil {
		return nil, fmt.Errorf("register %q: waiting for an earlier Register of this ID: %w", id, err)
	}
	return done, nil
}

// Deregister stops probing an instance, then deregisters it with the backend.
// No verdict of its probes is written from then on, whatever Deregister returns.
func (c *Checker) Deregister(ctx context.Context, serviceID string) error {
	if !c.isClosed() {
		c.replace(serviceID, nil)
	}
	return c.Backend.Deregister(ctx, serviceID)
}

// Close stops all probes, waits for them, and closes the backend.
func (c *Checker) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.cancel()
	c.runs.Close()
	c.http.close()
	return c.Backend.Close()
}

func (c *Checker) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// replace ends the check of an ID and puts next in its place, unless it is nil. When
// it returns, the earlier check writes no more verdicts.
func (c *Checker) replace(id string, next *check) {
	c.mu.Lock()
	old := c.checks[id]
	if next != nil {
		c.checks[id] = next
	} else {
		delete(c.checks, id)
	}
	c.mu.Unlock()
	if old != nil {
		c.runs.Remove(old.task)
		old.stop()
	}
	if next == nil {
		return
	}
	next.follow(old)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checks[id] == next {
		next.task = c.runs.Add(c.config.interval, func() bool { return c.probe(next) })
	}
}

// probe runs a check once. It reports false when that was the last time.
func (c *Checker) probe(k *check) (again bool) {
	if k.run() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checks[k.target.Instance.ID] == k {
		delete(c.checks, k.target.Instance.ID)
	}
	k.cancel()
	return false
}
