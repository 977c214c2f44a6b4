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

// RegistryType represents the type of registry backend. The library does not use
// it: it is for the configuration of programs that choose one.
type RegistryType string

const (
	// RegistryTypeLocal uses in-memory storage for development/testing.
	RegistryTypeLocal RegistryType = "local"
	// RegistryTypeRedis uses Redis for distributed service discovery.
	RegistryTypeRedis RegistryType = "redis"
)

// Watcher watches services. It is safe for concurrent use.
type Watcher interface {
	// Watch yields the current state of a service at once, also when it has no
	// instances, and again after each change.
	//
	// It ends when ctx ends, when the loop breaks or when the registry closes, and
	// at no other time: while the backend is unavailable it yields the last known
	// state, marked Stale. For a bad name or a closed registry it yields one snapshot,
	// whose Stale matches ErrInvalidService or ErrClosed, and ends. A slow subscriber
	// receives the newest state, not a backlog, and slows no other. A state counts as
	// acknowledged when the loop asks for the next.
	Watch(ctx context.Context, serviceName string) iter.Seq[Snapshot]
}

// Backend is what Open, NewLocalRegistry, NewRedisRegistry and NewCachedRegistry
// return. It may gain methods: a decorator embeds the Backend that it wraps and
// overrides some of them. All methods are safe for concurrent use.
type Backend interface {
	Registry
	Watcher

	// Snapshot is Discover without copies: authoritative, never stale, and shared, so
	// read only. It takes one round trip of constant size if the service has not changed.
	Snapshot(ctx context.Context, serviceName string) (Snapshot, error)

	// Instances returns every live instance, whatever its status, oldest first.
	Instances(ctx context.Context, serviceName string) ([]Instance, error)

	// Services returns the names with a live instance, sorted.
	Services(ctx context.Context) ([]string, error)

	// WatchServices yields the names with a live instance at once and again after
	// each change of that set, under the rules of Watch.
	WatchServices(ctx context.Context) iter.Seq[Catalog]

	// SetStatus sets the health of any owner's instance, and a note of at most
	// MaxNoteBytes bytes that says why. Health and draining are separate facts: a
	// passing probe does not end a drain, and StatusDraining begins a drain without
	// waiting. Both survive heartbeats, re-registration after a loss, and a repeated
	// registration by the same registry value that sets no status. Each has its own
	// note; a drain's note is removed with the drain. An unknown ID gives an error
	// that matches ErrNotFound.
	SetStatus(ctx context.Context, serviceID string, status Status, note string) error

	// Drain makes an instance not callable and returns once every process that
	// watches the service has acknowledged the state without it, or with the
	// context's error, which says how many have not. The drain then remains, until
	// Undrain, which makes a waiting Drain return an error. Drain does not wait for
	// callers of Discover, or for clients behind DNS and HTTP. An unknown ID gives an
	// error that matches ErrNotFound.
	Drain(ctx context.Context, serviceID string) error

	// Undrain ends a drain: the instance's status is its health again.
	Undrain(ctx context.Context, serviceID string) error

	// Events returns what the backend remembers of a service's changes, oldest first: at
	// least the last 100 and, of removals, those of the last 10 minutes, or 24 hours for
	// removals by another than the owner. Heartbeats are no changes. A backend that lost
	// its memory has lost its events too. An unknown service has none.
	Events(ctx context.Context, serviceName string) ([]Event, error)

	// NotifyLost calls lost once this registry no longer keeps the registration of
	// serviceID alive, at most once, with an error that matches ErrSuperseded if a newer
	// owner registered the ID and ErrDeregistered if it was deregistered, through this
	// registry or another. Call it after Register: without such a registration it
	// calls lost at once, with ErrClosed on a closed registry. Close does not cause a
	// notification.
	//
	// It returns a function that stops the notification; a call of lost that has
	// begun may still be running then. lost is called from the registry's own
	// goroutine and must not block. Join uses NotifyLost; call it yourself only where
	// you call Register yourself.
	NotifyLost(serviceID string, lost func(error)) (stop func())

	sealed
}

// sealed limits Backend to this package's implementations and what embeds one.
type sealed interface{ engine() *core.Engine }
