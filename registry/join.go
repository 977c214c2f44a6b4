package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
)

// Membership is one registration that Join made. It lasts until Leave, until
// its registry closes, or until it is lost to another. It is safe for concurrent
// use. The zero value stands for none: Lost never closes, and Leave does nothing.
type Membership struct {
	backend Backend
	service ServiceInfo

	stopNotify func() // ends the notification of a loss
	lost       chan struct{}

	mu   sync.Mutex
	left bool
	err  error
}

// joinPauses are the pauses between two tries to join.
var joinPauses = backoff.Pauses{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond}

// Join registers a service instance and returns its membership, whose ID is
// generated when service has none. It keeps trying while the backend is away;
// ctx bounds the joining, not the membership. It fails with ctx's error, or at
// once when the service is not acceptable or the backend is closed.
func Join(ctx context.Context, backend Backend, service ServiceInfo) (*Membership, error) {
	ctx, err := AssignID(ctx, &service)
	if err != nil {
		return nil, err
	}
	m := &Membership{backend: backend, service: service.Clone(), lost: make(chan struct{})}
	for try := 1; ; try++ {
		err := backend.Register(ctx, service)
		if err == nil {
			m.stopNotify = backend.NotifyLost(service.ID, m.lose)
			return m, nil
		}
		if ctx.Err() != nil || !errors.Is(err, ErrUnavailable) {
			return nil, err
		}
		if joinPauses.Sleep(ctx, try) != nil {
			return nil, fmt.Errorf("%w; last: %w", opError("join", service.Name, ctx.Err()), err)
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

func (m *Membership) lose(reason error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left || m.err != nil {
		return
	}
	m.err = fmt.Errorf("member of %q: %w", m.service.Name, reason)
	close(m.lost)
}

// Leave drains the instance, so that whoever watches the service stops calling
// it, and then deregisters it. After a nil return nothing brings it back; after
// an error its heartbeat has stopped nevertheless, and it goes with its TTL.
//
// Draining gets half the time that ctx leaves, or 5 s if that is less;
// watchers that have not taken the news by then learn it from the
// deregistration. Leaving again, or after the membership was lost, does nothing.
func (m *Membership) Leave(ctx context.Context) error {
	m.mu.Lock()
	gone := m.left || m.err != nil || m.backend == nil
	m.left = true
	m.mu.Unlock()
	if gone {
		return nil
	}
	m.stopNotify()
	limit := drainTimeout
	if d, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(d)/2)
	}
	draining, cancel := context.WithTimeout(ctx, limit)
	// Whatever comes of it, the instance is deregistered next.
	err := m.backend.Drain(draining, m.service.ID)
	cancel()
	if errors.Is(err, ErrUnavailable) {
		// One more try, no more: the TTL does it as well.
		last, cancel := context.WithTimeout(ctx, unavailableLeaveTimeout)
		defer cancel()
		ctx = last
	}
	return m.backend.Deregister(ctx, m.service.ID)
}

// lastTry bounds the deregistration by Leave while the backend is away.
const unavailableLeaveTimeout = 500 * time.Millisecond

// drainTimeout bounds how long Leave waits for watchers.
const drainTimeout = 5 * time.Second
