package store

import "time"

// Record is one leased entry of a service.
type Record struct {
	ID    string
	Owner string // the registry value that wrote it
	Seq   uint64 // the number of the owner's call that wrote it

	// RegisteredAt is the registration time: backend's clock, µs since the epoch,
	// unique within its service.
	RegisteredAt int64
	// TTL is the length of the lease; 0: it does not expire.
	TTL time.Duration
	// HeartbeatInterval is how often the owner renews the lease.
	HeartbeatInterval time.Duration
	// ExpiresAt is the end of the lease: backend's clock, µs since the epoch; 0: never.
	ExpiresAt int64

	Payload []byte // the owner's part
	Overlay []byte // the part that others patch; nil when there is none

	// Decoded is what the reader would decode from Payload, where a Local store
	// has it from the Put. Shared, read only. Nil elsewhere.
	Decoded any
}

// Before orders records: oldest first. Equal times, which occur only after the
// backend lost its memory, are ordered by ID.
func (r *Record) Before(o *Record) bool {
	return r.RegisteredAt < o.RegisteredAt || r.RegisteredAt == o.RegisteredAt && r.ID < o.ID
}

// Lease is what an owner holds.
type Lease struct {
	ID           string
	RegisteredAt int64
}

// Reason says why a record ended.
type Reason string

// Reasons of a Tombstone. Their texts are stored.
const (
	ReasonDeregistered Reason = "left"    // by its owner or by another
	ReasonExpired      Reason = "expired" // its lease ended
	ReasonMoved        Reason = "moved"   // its ID was registered under another service
)

// Tombstone is the evidence that a record ended. Seq is the number of the owner's
// last call that it covers.
type Tombstone struct {
	ID           string
	Reason       Reason
	RegisteredAt int64 // up to this time it is evidence
	Owner        string
	Seq          uint64
}
