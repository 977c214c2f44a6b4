package serverproof

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/internal/bridge"
	"github.com/rollcall-sd/rollcall/internal/redisstore"
	"github.com/rollcall-sd/rollcall/registry"
)

const (
	drillTTL       = 1500 * time.Millisecond
	drillHeartbeat = 400 * time.Millisecond
	// promised is within what most faults must be repaired.
	promised = drillHeartbeat + time.Second
	// patience is how much longer is waited, to say how late it was.
	patience = 10 * time.Second

	pollInterval = 10 * time.Millisecond
)

// service is what the drill registers and watches.
const service = "web"

// scene is a namespace with processes, each on a line of its own.
type scene struct {
	*prover
	namespace string
	all       []*process
}

// process stands for a process: a registry and its connections.
type process struct {
	registry.Backend
	line     *line
	lastBeat atomic.Int64 // when the last heartbeat that succeeded began, ns since the epoch
}

// close ends all processes and removes what they wrote.
func (s *scene) close() {
	for _, p := range s.all {
		p.line.heal()
		_ = p.Close()
		p.line.close()
	}
	s.remove(s.namespace)
}

func (s *scene) open(ctx context.Context) (*process, error) {
	p := &process{line: newLine()}
	cfg := s.config(s.namespace, drillTTL, drillHeartbeat)
	cfg.Observer = &registry.Observer{Heartbeat: func(_ int, took time.Duration, err error) {
		if err == nil {
			p.lastBeat.Store(time.Now().Add(-took).UnixNano())
		}
	}}
	opened, err := bridge.Open(ctx, cfg, p.line.dial)
	if err != nil {
		p.line.close()
		return nil, err
	}
	p.Backend = opened.(registry.Backend)
	p.lastBeat.Store(time.Now().UnixNano())
	s.all = append(s.all, p)
	return p, nil
}

// owner opens a process with one instance.
func (s *scene) owner(ctx context.Context, id string, port int) (*process, error) {
	p, err := s.open(ctx)
	if err == nil {
		err = p.register(ctx, id, port)
	}
	return p, err
}

func (p *process) register(ctx context.Context, id string, port int) error {
	return p.Register(ctx, registry.ServiceInfo{ID: id, Name: service, Address: "192.0.2.1", Port: port})
}

// forget deletes the service, as a loss of memory would.
func (s *scene) forget(ctx context.Context) {
	s.delete(ctx, append(redisstore.ServiceKeys(s.namespace, service), redisstore.SharedKeys(s.namespace)...))
}

// lists returns a condition: Discover lists these IDs, and maybe others.
func (p *process) lists(ctx context.Context, ids ...string) func() error {
	return func() error {
		call, cancel := context.WithTimeout(ctx, promised)
		defer cancel()
		got, err := p.Discover(call, service)
		if err != nil {
			return err
		}
		return missing(got, ids)
	}
}

// missing returns an error that names the IDs that a list lacks.
func missing(list []registry.ServiceInfo, ids []string) error {
	for _, id := range ids {
		if _, ok := find(list, id); !ok {
			return fmt.Errorf("%s is not listed", id)
		}
	}
	return nil
}

func find(list []registry.ServiceInfo, id string) (registry.ServiceInfo, bool) {
	for _, s := range list {
		if s.ID == id {
			return s, true
		}
	}
	return registry.ServiceInfo{}, false
}

// lacks returns a condition: Discover does not list an ID.
func (p *process) lacks(ctx context.Context, id string) func() error {
	return func() error {
		err := p.lists(ctx)()
		if err == nil && p.lists(ctx, id)() == nil {
			return fmt.Errorf("%s is still listed", id)
		}
		return err
	}
}

// within waits for a condition. The time is counted from from, and the error says
// what was not so in time.
func within(ctx context.Context, from time.Time, bound time.Duration, cond func() error) (time.Duration, error) {
	for {
		err := cond()
		took := time.Since(from)
		switch {
		case err == nil && took > bound:
			return took, fmt.Errorf("took %v, promised are %v", took.Round(time.Millisecond), bound)
		case err == nil:
			return took, nil
		case took > bound+patience || ctx.Err() != nil:
			return took, fmt.Errorf("not within %v: %w", bound, errors.Join(err, ctx.Err()))
		}
		pause(ctx, pollInterval)
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// watch follows a service until its stop.
type watch struct {
	stop func() // ends it and waits

	mu      sync.Mutex
	last    registry.Snapshot
	dropped map[string]bool // IDs that were shown and then were not
}

func (p *process) watch(ctx context.Context) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{dropped: make(map[string]bool)}
	done := make(chan struct{})
	w.stop = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		for s := range p.Watch(ctx, service) {
			w.take(s)
		}
	}()
	return w
}

func (w *watch) take(s registry.Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, before := range w.last.Instances {
		if _, ok := find(s.Instances, before.ID); !ok {
			w.dropped[before.ID] = true
		}
	}
	w.last = s
}

// shows returns a condition: the last state has these IDs and is not stale.
func (w *watch) shows(ids ...string) func() error {
	return func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.last.Stale != nil {
			return fmt.Errorf("the watch is stale: %w", w.last.Stale)
		}
		return missing(w.last.Instances, ids)
	}
}

func (w *watch) hides(id string) func() error {
	return func() error {
		if err := w.shows()(); err != nil {
			return err
		}
		if w.shows(id)() == nil {
			return fmt.Errorf("the watch still shows %s", id)
		}
		return nil
	}
}

func (w *watch) isStale() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last.Stale == nil {
		return errors.New("the watch is not marked Stale")
	}
	return nil
}

// kept returns an error if the watch dropped one of these in the meantime.
func (w *watch) kept(ids ...string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if w.dropped[id] {
			return fmt.Errorf("a watch dropped %s, whose owner runs", id)
		}
	}
	return nil
}
