package store

import "time"

// Put asks for a record.
type Put struct {
	Service string
	ID      string
	// Reregister restores the registration of RegisteredAt, unless it was
	// deregistered or superseded. Otherwise Put makes a new registration.
	Reregister   bool
	RegisteredAt int64 // with Reregister

	TTL               time.Duration
	HeartbeatInterval time.Duration
	Payload           []byte
	// Overlay is the overlay to start with where the backend has none of this owner's.
	Overlay []byte
	// ResetOverlay removes members of the overlay that stands. The others are kept.
	ResetOverlay []string

	// StillWanted, if not nil, is called right before the record is sent, in the
	// order in which removals are sent. If it returns false, nothing is sent and the
	// outcome is Deregistered. It must not block.
	StillWanted func() bool

	// Decoded becomes Record.Decoded in a Local store.
	Decoded any

	Hints PutHints
}

// Outcome of a Put, or of a lease in Renew.
type Outcome uint8

const (
	// Done means that it stands as asked.
	Done Outcome = iota
	// Lost means that the backend does not hold it, or holds what an earlier call of
	// the same owner wrote: reregister it.
	Lost
	// Superseded means that a newer owner has the ID.
	Superseded
	// Deregistered means that it was deregistered.
	Deregistered
	// Overtaken means that a later call of the same owner stands, or stood until its
	// lease ended.
	Overtaken
)

// PutResult answers a Put.
type PutResult struct {
	Outcome      Outcome // Done, Superseded, Deregistered or Overtaken
	Seq          uint64  // the number of this call
	RegisteredAt int64
	Overlay      []byte
	Err          error
}

// ServiceLeases are an owner's leases in one service, all of one TTL. Shared, read only.
type ServiceLeases struct {
	Service string
	TTL     time.Duration
	Leases  []Lease // in the order of their IDs a renewal costs the backend least

	// Cached keeps what the store computes from these leases, for the next renewal of
	// the same ones. All copies that share it are equal and go to one Store. May be nil.
	Cached *CachedValue
}

// Renewal answers for one service. Leases without an Outcome are Done.
type Renewal struct {
	Outcomes map[string]Outcome
	// Overlays are the present overlays of the leases that are Done; nil when nothing
	// in the service changed since the owner's last call.
	Overlays map[string][]byte
	Err      error
}

// Removal asks for the end of a record.
type Removal struct {
	Service      string // "" when the caller does not know
	ID           string
	Own          bool  // the caller holds it since RegisteredAt: a newer owner's record stays
	RegisteredAt int64 // with Own
}

// RemoveResult answers a Removal.
type RemoveResult struct {
	Existed bool
	Service string
	// Seq, if not 0, is the number of this call, and no earlier call of this owner
	// can take effect from now on.
	Seq uint64
}

// OverlayPatch asks to set members of a record's overlay, which is a JSON object.
type OverlayPatch struct {
	Service string // "" when the caller does not know
	ID      string
	Set     map[string]string // JSON by member name; "" removes the member
	// Kind and Note make the event of this change.
	Kind EventKind
	Note string
}

// PatchResult answers an OverlayPatch.
type PatchResult struct {
	Existed bool
	Changed bool
	Service string
	Rev     string // of the service, afterwards
	Overlay []byte
}
