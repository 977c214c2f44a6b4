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

	stopNotify func() // from NotifyLost
	lost       chan struct{}

	mu   sync.Mutex
	left bool
	err  error
}

// joinPauses are the pauses between attempts to join.
var joinPauses = backoff.Pauses{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond}

// Join registers a service instance and returns its membership, whose ID is
// generated if service has none. It retries while the backend is unavailable. ctx
// bounds the joining, not the membership. Join fails with ctx's error, or at once if
// the service is not acceptable or the backend is closed.
//
// A nil ctx or backend is refused with an error that matches ErrInvalidConfig.
func Join(ctx context.Context, backend Backend, service ServiceInfo) (*Membership, error) {
	if ctx == nil {
		return nil, invalidConfig("Join: ctx", "is nil; use context.Background()")
	}
	if backend == nil {
		return nil, invalidConfig("Join: backend", "is nil; pass the result of Open")
	}
	ctx, err := AssignID(ctx, &service)
	if err != nil {
		return nil, err
	}
	m := &Membership{backend: backend, service: service.Clone(), lost: make(chan struct{})}
	for attempt := 1; ; attempt++ {
		err := backend.Register(ctx, service)
		if err == nil {
			m.stopNotify = backend.NotifyLost(service.ID, m.lose)
			return m, nil
		}
		if ctx.Err() != nil || !errors.Is(err, ErrUnavailable) {
			return nil, err
		}
		if joinPauses.Sleep(ctx, attempt) != nil {
			return nil, fmt.Errorf("%w; last attempt: %w", opError("join", service.Name, ctx.Err()), err)
		}
	}
}

// ID returns the instance's ID.
func (m *Membership) ID() string { return m.service.ID }

// Lost returns a channel that is closed when a newer owner registers the ID or the
// instance is deregistered by its ID. Leave does not close it.
func (m *Membership) Lost() <-chan struct{} { return m.lost }

// Err returns nil until Lost is closed, and then an error that matches ErrSuperseded
// or ErrDeregistered.
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

// Leave drains the instance, so that watching processes stop calling it, and then
// deregisters it. After nil nothing brings the instance back. After an error its
// heartbeat has nevertheless stopped, and it expires with its TTL.
//
// Draining gets half the time that ctx leaves, or 5 s if that is less;
// watches that have not acknowledged the drain by then see the deregistration instead.
// Leaving again, or after the membership was lost, does nothing.
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
	// The instance is deregistered next even if the drain fails.
	err := m.backend.Drain(draining, m.service.ID)
	cancel()
	if errors.Is(err, ErrUnavailable) {
		// Only one short attempt: the TTL ends the registration anyway.
		last, cancel := context.WithTimeout(ctx, unavailableLeaveTimeout)
		defer cancel()
		ctx = last
	}
	return m.backend.Deregister(ctx, m.service.ID)
}

// unavailableLeaveTimeout bounds Leave's deregistration while the backend is unavailable.
const unavailableLeaveTimeout = 500 * time.Millisecond

// drainTimeout bounds how long Leave waits for watchers.
const drainTimeout = 5 * time.Second
