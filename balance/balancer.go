package balance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// Balancer picks instances of one service. It watches the service from New to
// Close. It is safe for concurrent use.
type Balancer struct {
	service string
	config  config
	start   time.Time
	current atomic.Pointer[candidates]
	used    atomic.Int64 // when a Transport asked last

	quiet      chan struct{} // an upstream that left has nothing in flight now
	generation uint64        // counts sets; of the watching goroutine
	retries    retryBudget

	mu        sync.Mutex                // of what follows, and of ejections
	upstreams map[upstreamKey]*upstream // those in the current set, and those that left with requests in flight

	cancel context.CancelFunc
	ended  chan struct{}
}

// New returns a balancer for a service, which need not have instances yet. An
// option that is not acceptable gives an error that matches
// registry.ErrInvalidConfig and names it. Close it when it is no longer needed,
// before the registry that is the watcher.
func New(watcher registry.Watcher, serviceName string, options ...Option) (*Balancer, error) {
	c := defaults()
	for _, o := range options {
		o(&c)
	}
	if watcher == nil {
		c.refuse("watcher", "is nil")
	}
	if serviceName == "" {
		c.refuse("service name", "is empty")
	}
	if err := c.finish(); err != nil {
		return nil, fmt.Errorf("balance %q: %w", serviceName, err)
	}
	return start(watcher, serviceName, c), nil
}

func start(watcher registry.Watcher, service string, c config) *Balancer {
	ctx, cancel := context.WithCancel(context.Background())
	b := &Balancer{
		service: service, config: c, start: time.Now(),
		upstreams: map[upstreamKey]*upstream{}, quiet: make(chan struct{}, 1),
		cancel: cancel, ended: make(chan struct{}),
	}
	first := noCandidates(fmt.Errorf("%w: of %q: %w", ErrNoInstances, service, registry.ErrNotReady))
	first.waiting = true
	b.current.Store(first)
	b.retries.limits = c.budget
	b.used.Store(b.now())
	go b.watch(ctx, watcher)
	return b
}

// now is the time since the balancer's start; never 0.
func (b *Balancer) now() int64 { return int64(time.Since(b.start)) + 1 }

func (b *Balancer) random() uint64 {
	if b.config.random != nil {
		return b.config.random()
	}
	return rand.Uint64()
}

// Close ends the watch and waits for it. Requests in flight go on; later picks,
// and those that wait, return an error that matches registry.ErrClosed. A
// second Close does nothing. It always returns nil.
func (b *Balancer) Close() error {
	b.cancel()
	<-b.ended
	return nil
}

func (b *Balancer) watch(ctx context.Context, watcher registry.Watcher) {
	defer close(b.ended)
	var stale error
	for snap := range watcher.Watch(ctx, b.service) {
		stale = snap.Stale
		b.handOver(ctx, b.apply(&snap))
	}
	problem := fmt.Errorf("balance %q: %w", b.service, registry.ErrClosed)
	if ctx.Err() == nil && errors.Is(stale, registry.ErrInvalidService) {
		problem = fmt.Errorf("balance %q: %w: %w", b.service, ErrNoInstances, stale)
	}
	last := noCandidates(problem)
	last.final = true
	b.generation++
	b.publish(last)
}

// handOverTime bounds how long the acknowledgement of a change is held back.
const handOverTime = 200 * time.Millisecond

// handOver holds back the acknowledgement of a change, which picks already follow,
// until requests to instances that left have been answered, or at least had the time
// to arrive. Once the change is acknowledged, an instance that drains may stop, and
// reset connections that hold a request which it has not read.
func (b *Balancer) handOver(ctx context.Context, left []*upstream) {
	busy := func() bool {
		for _, n := range left {
			if n.inflight.Load() > 0 {
				return true
			}
		}
		return false
	}
	if !busy() {
		return
	}
	t := time.NewTimer(handOverTime)
	defer t.Stop()
	for busy() {
		select {
		case <-b.quiet:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
