package redisstore

import (
	"encoding/binary"
	"math"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// renewArgs are the arguments of a renewal that stay the same while an owner holds the
// same leases in a service. Shared, read only.
type renewArgs struct {
	keys []string // the service's and the catalog
	// Two arguments for all leases: one per ID would cost the client and Redis more
	// time than the renewal itself.
	owner, service, ttl, ids, stamps any
}

func (s *Store) renewArgs(g store.ServiceLeases) *renewArgs {
	if g.Cached == nil {
		return s.makeRenewArgs(g)
	}
	if p, ok := g.Cached.Peek(); ok {
		return p.(*renewArgs)
	}
	return g.Cached.Get(func() any { return s.makeRenewArgs(g) }).(*renewArgs)
}

func (s *Store) makeRenewArgs(g store.ServiceLeases) *renewArgs {
	return &renewArgs{keys: append(s.keys.ofService(g.Service), s.keys.catalog), owner: s.cfg.Owner, service: g.Service, ttl: g.TTL.Milliseconds(),
		ids: packIDs(g.Leases), stamps: packStamps(g.Leases)}
}

// keysIn returns the keys of the call.
func (p *renewArgs) keysIn(oneSlot bool) []string {
	if oneSlot {
		return p.keys[:2:2]
	}
	return p.keys
}

// packIDs encodes IDs, which may have any bytes, as a MessagePack array. Before each ID
// is a 0, which the script replaces by the expiry.
func packIDs(leases []store.Lease) []byte {
	size := 5
	for _, l := range leases {
		size += 6 + len(l.ID)
	}
	b := make([]byte, 0, size)
	b = binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(2*len(leases)))
	for _, l := range leases {
		b = appendText(append(b, 0), l.ID)
	}
	return b
}

func appendText(b []byte, text string) []byte {
	if len(text) < 256 {
		b = append(b, 0xd9, byte(len(text)))
	} else {
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(len(text)))
	}
	return append(b, text...)
}

// packStamps encodes registration times as a MessagePack array of floating-point
// numbers, like Lua's.
func packStamps(leases []store.Lease) []byte {
	b := binary.BigEndian.AppendUint32(append(make([]byte, 0, 5+9*len(leases)), 0xdd), uint32(len(leases)))
	for _, l := range leases {
		b = binary.BigEndian.AppendUint64(append(b, 0xcb), math.Float64bits(float64(l.RegisteredAt)))
	}
	return b
}
