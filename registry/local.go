package registry

import (
	"log/slog"

	"github.com/rollcall-sd/rollcall/internal/memstore"
)

// LocalRegistry implements Registry using an in-memory sync.Map, from service
// name to an immutable list, so that readers take no lock. It's suitable for
// development, testing, and single-instance deployments. For distributed
// service discovery, use RedisRegistry instead.
//
// There is no TTL in memory: an instance lives until it is deregistered or its
// registry closes. It is a Backend, safe for concurrent use, and works inside a
// testing/synctest bubble.
type LocalRegistry struct{ base }

var _ Backend = (*LocalRegistry)(nil)

// NewLocalRegistry creates a new in-memory registry.
func NewLocalRegistry() *LocalRegistry {
	owner := newOwner()
	return &LocalRegistry{base{newEngine(memstore.New(owner), owner, 0, 0, slog.Default(), nil)}}
}

// Close closes the local registry (no-op for local registry): it releases
// nothing outside, ends watches, and makes later calls return ErrClosed. A
// second Close returns nil.
func (r *LocalRegistry) Close() error { return r.core.Close() }
