package registry

import (
	"context"
	"iter"

	"github.com/rollcall-sd/rollcall/internal/core"
)

// The methods that CachedRegistry takes from its backend are written out, because a
// promoted method panics where there is no backend.

// backend returns the backend, or a closed one if there is none.
func (c *CachedRegistry) backend() Backend {
	if c.Backend == nil {
		return new(LocalRegistry)
	}
	return c.Backend
}

func (c *CachedRegistry) engine() *core.Engine { return c.backend().engine() }

// Snapshot implements Backend. It asks the backend.
func (c *CachedRegistry) Snapshot(ctx context.Context, serviceName string) (Snapshot, error) {
	return c.backend().Snapshot(ctx, serviceName)
}

// Instances implements Backend. It asks the backend.
func (c *CachedRegistry) Instances(ctx context.Context, serviceName string) ([]Instance, error) {
	return c.backend().Instances(ctx, serviceName)
}

// Services implements Backend. It asks the backend.
func (c *CachedRegistry) Services(ctx context.Context) ([]string, error) {
	return c.backend().Services(ctx)
}

// Watch implements Watcher. It is a watch of the backend.
func (c *CachedRegistry) Watch(ctx context.Context, serviceName string) iter.Seq[Snapshot] {
	return c.backend().Watch(ctx, serviceName)
}

// WatchServices implements Backend. It is a watch of the backend.
func (c *CachedRegistry) WatchServices(ctx context.Context) iter.Seq[Catalog] {
	return c.backend().WatchServices(ctx)
}

// SetStatus implements Backend.
func (c *CachedRegistry) SetStatus(ctx context.Context, serviceID string, status Status, note string) error {
	return c.backend().SetStatus(ctx, serviceID, status, note)
}

// Drain implements Backend.
func (c *CachedRegistry) Drain(ctx context.Context, serviceID string) error {
	return c.backend().Drain(ctx, serviceID)
}

// Undrain implements Backend.
func (c *CachedRegistry) Undrain(ctx context.Context, serviceID string) error {
	return c.backend().Undrain(ctx, serviceID)
}

// Events implements Backend. It asks the backend.
func (c *CachedRegistry) Events(ctx context.Context, serviceName string) ([]Event, error) {
	return c.backend().Events(ctx, serviceName)
}

// NotifyLost implements Backend.
func (c *CachedRegistry) NotifyLost(serviceID string, lost func(reason error)) (stop func()) {
	return c.backend().NotifyLost(serviceID, lost)
}
