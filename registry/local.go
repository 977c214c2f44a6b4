package registry

import (
	"cmp"
	"log/slog"

	"github.com/rollcall-sd/rollcall/internal/memstore"
)

// LocalRegistry implements Registry using an in-memory sync.Map, from service
// name to an immutable list, so that readers take no lock. It's suitable for
// development, testing, and single-instance deployments. For distributed
// service discovery, use RedisRegistry instead.
//
// Registrations do not expire: an instance lives until it is deregistered or its
// registry closes. It is a Backend, safe for concurrent use, and works inside a
// testing/synctest bubble. The zero value is a closed registry.
type LocalRegistry struct{ coreBackend }

var _ Backend = (*LocalRegistry)(nil)

// NewLocalRegistry creates a new in-memory registry.
func NewLocalRegistry() *LocalRegistry { return NewLocalRegistryWith() }

// LocalOption configures a LocalRegistry.
type LocalOption func(*localOptions)

type localOptions struct {
	logger   *slog.Logger
	observer *Observer
}

// WithLogger makes a LocalRegistry log its state changes to logger. Default, also for
// nil: slog.Default().
func WithLogger(logger *slog.Logger) LocalOption {
	return func(o *localOptions) { o.logger = logger }
}

// WithObserver makes a LocalRegistry report to observer. It has no heartbeats, so
// their events do not occur. Default: none.
func WithObserver(observer *Observer) LocalOption {
	return func(o *localOptions) { o.observer = observer }
}

// NewLocalRegistryWith is NewLocalRegistry with options.
func NewLocalRegistryWith(options ...LocalOption) *LocalRegistry {
	var o localOptions
	for _, option := range options {
		option(&o)
	}
	owner := newOwner()
	return &LocalRegistry{coreBackend{newEngine(memstore.New(owner, processName()), 0, 0, cmp.Or(o.logger, slog.Default()), o.observer)}}
}

// Close closes the local registry (no-op for local registry): it has no external
// resources to release. It ends watches, and later calls return ErrClosed. A second
// Close returns nil.
func (r *LocalRegistry) Close() error { return r.close() }
