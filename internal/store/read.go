package store

// KnownState is what a reader knows of a service already.
type KnownState struct {
	Rev        string // "": nothing
	NextExpiry int64  // the earliest expiry known, backend's clock; 0: none

	// ProveAbsence makes the store verify that the backend accepts writes: the reader
	// is about to treat what is missing as gone.
	ProveAbsence bool

	Hints ReadHints
}

// ReadingKind says how a Reading is to be applied.
type ReadingKind uint8

const (
	// Full means that Records are all that live. With an empty Rev the backend
	// holds nothing about the service.
	Full ReadingKind = iota
	// Unchanged means that nothing changed since KnownState.Rev but what Expired says.
	Unchanged
	// Delta means that Records and Tombstones are what changed since KnownState.Rev.
	Delta
)

// Reading is the state of a service at one moment.
type Reading struct {
	Kind       ReadingKind
	Now        int64  // backend's clock, µs since the epoch
	Rev        string // compare for equality only
	Records    []*Record
	Tombstones []Tombstone
	// Expired names records that are part of Rev but past their expiry.
	Expired []string
	// WritesRefused, if not nil, says why the backend accepts no write, which would
	// prove that a lease ended: an ErrWritesRefused. Then records past their expiry
	// count as live, and what is missing may have been lost.
	WritesRefused error
	// NextExpiry is the earliest expiry of those that live; 0: none.
	NextExpiry int64
	// Malformed names entries that could not be decoded.
	Malformed []string
	// ClockSetBack means that a lease ends later than its TTL from now, so the
	// backend's clock was set back.
	ClockSetBack bool
}

// Notice is a pushed change.
type Notice struct {
	// Resync, if not empty, says that notices may have been lost: read again.
	Resync string
	// PreviousRev is the revision that Reading, a Delta, follows.
	PreviousRev string
	Reading     Reading
}

// Values of Notice.Resync.
const (
	ResyncConnected = "connected" // the subscription began, or began again
	ResyncGap       = "gap"       // a message said less than a reader needs
)
