package registry

import (
	"context"
	"iter"

	"github.com/rollcall-sd/rollcall/internal/core"
)

// Registry provides service registration and discovery functionality.
// Implementations must be safe for concurrent access.
type Registry interface {
	// Register registers a service instance with the registry.
	// The service remains registered until explicitly deregistered or its TTL expires.
	// Returns an error if registration fails.
	//
	// The context bounds this call, not the life of the registration. Registering
	// an ID again replaces it, also under another service name; an identical
	// registration of a live instance by its own owner is a renewal that changes
	// nothing. Bad input is refused with an error that names the field and
	// matches ErrInvalidService.
	Register(ctx context.Context, service ServiceInfo) error

	// Deregister removes a service instance from the registry.
	// If the service is not found, this is a no-op.
	// Returns an error if deregistration fails; the heartbeat has stopped nevertheless.
	Deregister(ctx context.Context, serviceID string) error

	// Discover returns all healthy instances of a service by name.
	// Results are sorted by registration time (oldest first).
	// Returns an empty slice if no instances are found: never nil, and never in
	// place of an error. The result is the caller's own.
	Discover(ctx context.Context, serviceName string) ([]ServiceInfo, error)

	// Close closes the registry and releases any resources.
	// After calling Close, the registry should not be used: every call returns an
	// error that matches ErrClosed, but a second Close returns nil. Close
	// deregisters nothing and returns within 5 s.
	Close() error
}

// RegistryType represents the type of registry backend.
type RegistryType string

const (
	// RegistryTypeLocal uses in-memory storage for development/testing.
	RegistryTypeLocal RegistryType = "local"
	// RegistryTypeRedis uses Redis for distributed service discovery.
	RegistryTypeRedis RegistryType = "redis"
)

// Watcher is told when a service changes. It is safe for concurrent use.
type Watcher interface {
	// Watch yields the current state of a service at once (also when nobody
	// offers it) and again after each change.
	//
	// It ends when ctx does, when the loop breaks or when the registry closes, and
	// at no other time: while the backend is away it yields the last known state,
	// marked Stale. A bad name or a closed registry yields one snapshot whose
	// Stale says so, and ends. A slow reader is handed the newest state, not a
	// backlog, and slows nobody else; a state counts as taken when the loop asks
	// for the next.
	Watch(ctx context.Context, serviceName string) iter.Seq[Snapshot]
}

// Backend is what Open, NewLocalRegistry, NewRedisRegistry and
// NewCachedRegistry return: a Registry that can be watched. It may gain
// methods; decorate it by embedding. All methods are safe for concurrent use.
type Backend interface {
	Registry
	Watcher

	// Snapshot is Discover without copies: authoritative and never stale, but
	// shared, so read only. Unchanged services cost one round trip of constant size.
	Snapshot(ctx context.Context, serviceName string) (Snapshot, error)

	// Instances returns every live instance, whatever its status, oldest first.
	Instances(ctx context.Context, serviceName string) ([]Instance, error)

	// Services returns the names with a live instance, sorted.
	Services(ctx context.Context) ([]string, error)

	// WatchServices yields the names with a live instance at once and again after
	// each change of that set, under the rules of Watch.
	WatchServices(ctx context.Context) iter.Seq[Catalog]

	// SetStatus sets an instance's health, whoever owns it, and a note of at most
	// MaxNoteBytes that says why. Health and draining are two facts, kept apart:
	// a passing probe does not end a drain; StatusDraining marks the instance as
	// Drain does, without waiting. Both survive heartbeats, healing and a
	// re-registration by the same registry value that sets no status. Each keeps
	// its own note; a drain's ends with it. An unknown ID gives an error that
	// matches ErrNotFound.
	SetStatus(ctx context.Context, serviceID string, status Status, note string) error

	// Drain marks an instance as on its way out and returns once every process
	// that watches the service has taken the state without it, or with the
	// context's error, which says how many have not; the mark then stands all the
	// same, until Undrain, which ends a Drain that waits with an error. It says
	// nothing of callers of Discover, or of clients behind DNS and HTTP. An
	// unknown ID gives an error that matches ErrNotFound.
	Drain(ctx context.Context, serviceID string) error

	// Undrain ends a drain; the instance's health shows again.
	Undrain(ctx context.Context, serviceID string) error

	// NotifyLost calls lost once this registry no longer keeps the registration of
	// serviceID alive, at most once, with an error that matches ErrSuperseded when a
	// newer owner registered the ID and ErrDeregistered when it was deregistered,
	// from here or elsewhere. Call it after Register: without such a registration
	// it calls lost at once. Close loses no registration.
	//
	// It returns a function that stops the notification; a call of lost that has
	// begun may still be running then. lost is called from the registry's own
	// goroutine, must not block, and may call stop. Join does all this; NotifyLost is for
	// what registers by itself.
	NotifyLost(serviceID string, lost func(error)) (stop func())

	sealed
}

// sealed keeps Backend to this package's implementations and what embeds them.
type sealed interface{ engine() *core.Engine }
