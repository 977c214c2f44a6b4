package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
	"github.com/rollcall-sd/rollcall/internal/core"
)

// Membership is one registration that Join made. It lasts until Leave, until
// its registry closes, or until it is lost to another. It is safe for concurrent use.
type Membership struct {
	backend Backend
	service ServiceInfo

	mu     sync.Mutex
	forget func() // ends the listening for a loss; nil before that has begun
	left   bool
	err    error
	lost   chan struct{}
}

// joinPauses are the pauses between two tries to join.
var joinPauses = backoff.Pauses{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond}

// Join registers a service instance and returns its membership, whose ID is
// generated when service has none. It keeps trying while the backend is away;
// ctx bounds the joining, not the membership. It fails with ctx's error, or at
// once when the service is not acceptable or the backend is closed.
func Join(ctx context.Context, backend Backend, service ServiceInfo) (*Membership, error) {
	ctx, err := identify(ctx, &service)
	if err != nil {
		return nil, err
	}
	m := &Membership{backend: backend, service: service.Clone(), lost: make(chan struct{})}
	for try := 1; ; try++ {
		err := backend.Register(ctx, service)
		if err == nil {
			m.listen()
			return m, nil
		}
		if ctx.Err() != nil || !errors.Is(err, ErrUnavailable) {
			return nil, err
		}
		if joinPauses.Sleep(ctx, try) != nil {
			return nil, fmt.Errorf("%w; last: %w", failed("join", service.Name, ctx.Err()), err)
		}
	}
}

// ID returns the instance's ID.
func (m *Membership) ID() string { return m.service.ID }

// Lost is closed when the registration was superseded by a newer owner of its
// ID or deregistered by another. Leave does not close it.
func (m *Membership) Lost() <-chan struct{} { return m.lost }

// Err returns why the membership was lost, and nil while it was not: an error
// that matches ErrSuperseded, or ErrDeregistered when it was deregistered.
func (m *Membership) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// listen has the registry tell of a loss until there was one, so that the registry
// does not keep a membership that was lost and is never left.
func (m *Membership) listen() {
	forget := m.backend.engine().OnLoss(m.service.ID, m.lose)
	m.mu.Lock()
	m.forget = forget
	lost := m.err != nil
	m.mu.Unlock()
	if lost {
		forget()
	}
}

func (m *Membership) lose(how core.Loss) {
	if forget := m.end(how); forget != nil {
		forget()
	}
}

// end notes the loss. It returns what ends the listening, if that has begun and
// this was the first loss.
func (m *Membership) end(how core.Loss) (forget func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left || m.err != nil {
		return nil
	}
	switch how {
	case core.LossSuperseded:
		m.err = fmt.Errorf("membership of %q in %q: %w", m.service.ID, m.service.Name, ErrSuperseded)
	default:
		m.err = fmt.Errorf("membership of %q in %q: %w", m.service.ID, m.service.Name, ErrDeregistered)
	}
	close(m.lost)
	return m.forget
}

// Leave drains the instance, so that whoever watches the service stops calling
// it, and then deregisters it. After a nil return nothing brings it back; after
// an error its heartbeat has stopped nevertheless, and it goes with its TTL.
//
// Draining gets half the time that ctx leaves, or DrainTimeout if that is less;
// watchers that have not taken the news by then learn it from the
// deregistration. Leaving again, or after the membership was lost, does nothing.
func (m *Membership) Leave(ctx context.Context) error {
	m.mu.Lock()
	gone := m.left || m.err != nil
	m.left = true
	m.mu.Unlock()
	m.forget()
	if gone {
		return nil
	}
	limit := DrainTimeout
	if d, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(d)/2)
	}
	draining, cancel := context.WithTimeout(ctx, limit)
	// Whatever comes of it, the instance is deregistered next.
	err := m.backend.Drain(draining, m.service.ID)
	cancel()
	if errors.Is(err, ErrUnavailable) {
		// One more try, no more: the TTL does it as well.
		last, cancel := context.WithTimeout(ctx, lastTry)
		defer cancel()
		ctx = last
	}
	return m.backend.Deregister(ctx, m.service.ID)
}

// lastTry bounds the deregistration by Leave while the backend is away.
const lastTry = 500 * time.Millisecond

// DrainTimeout bounds how long Leave waits for watchers.
const DrainTimeout = 5 * time.Second
