// Package store is the seam between the registry's logic and its backends.
//
// A backend keeps records: leased entries of a service, each with its owner's
// payload and a small overlay that others may set. It knows nothing of
// services, health or HTTP. A service is a service name; the service "" is the
// catalog, whose records are the names of the services with a live record.
package store

import (
	"context"
	"errors"
	"time"
)

// Errors of a Store. Anything else that a Store returns is wrapped in one of
// these or is the caller's own context error.
var (
	ErrClosed      = errors.New("registry is closed")
	ErrUnavailable = errors.New("backend is unavailable")
	// ErrForeign comes with ErrUnavailable: something that is not the registry's
	// stands in the place of one service, whereas the backend answers.
	ErrForeignData = errors.New("another program's data is in the place of this service")
	// ErrRefused comes with ErrUnavailable: the backend answers reads and refuses
	// writes, so that owners cannot renew, and no absence is proven.
	ErrWritesRefused = errors.New("it refuses writes, so instances whose leases ended may still run")
	// ErrDenied comes with ErrUnavailable: this user may never write what was asked.
	ErrNoPermission = errors.New("the user has no right to write it")
)

// Catalog is the service whose records are the names of the live services.
const Catalog = ""

// Store is a backend. Which of two writings of one ID stands is what Rule says:
// of one owner's calls the later, in whatever order they arrive; of two owners'
// registrations the newer; and what was deregistered stays out until a new Register. All methods are safe for concurrent use. Methods with a
// context return when it ends, whatever the backend does; what was sent by then
// may still take effect before the deadline that goes with it.
type Store interface {
	// Put registers or heals records, and answers for each in the given order.
	Put(ctx context.Context, puts []Put) []PutResult

	// Renew extends leases. Groups that are not answered for carry an error.
	Renew(ctx context.Context, leases []ServiceLeases) []Renewal

	// Remove ends a record and buries it.
	Remove(ctx context.Context, removal Removal) (RemoveResult, error)

	// Mark sets parts of a record's overlay, whoever owns it.
	PatchOverlay(ctx context.Context, mark OverlayPatch) (PatchResult, error)

	// Read asks for the state of a service and calls done exactly once, from any
	// goroutine, perhaps before Read returns. It starts after the call.
	Read(service string, known KnownState, done func(Reading, error))

	// Watch calls notify, in order and from one goroutine at a time, with what
	// changes in the service, until stop is called. Messages may be lost.
	Watch(service string, notify func(Notice)) (stop func())

	// Close releases what the store started and waits for it.
	Close() error
}

// Instant is a Store whose present state can be had at once, without a request.
type Local interface {
	// Current returns the service's state, shared and immutable; the same pointer
	// as long as nothing changes.
	Current(service string) (*Reading, error)
}

// Record is one leased entry of a service.
type Record struct {
	ID                string
	Owner             string        // the registry that wrote it
	Seq               uint64        // the owner's number of that write
	RegisteredAt      int64         // when it was registered, backend's clock, µs since the epoch; unique within its service
	TTL               time.Duration // 0: does not expire
	HeartbeatInterval time.Duration // how often its owner renews it
	ExpiresAt         int64         // backend's clock, µs since the epoch; 0: never
	Payload           []byte        // the owner's part
	Overlay           []byte        // the part that others set; nil when there is none

	// Value is the decoded record, when whoever made the record has it at hand. Shared, read only.
	Decoded any
}

// Before orders records: oldest first, ties (which only a loss of memory can make) by ID.
func (r *Record) Before(o *Record) bool {
	return r.RegisteredAt < o.RegisteredAt || r.RegisteredAt == o.RegisteredAt && r.ID < o.ID
}

// Reason says why a record ended.
type Reason string

// Reasons of a Tombstone.
const (
	ReasonDeregistered Reason = "left"    // deregistered
	ReasonExpired      Reason = "expired" // its lease ran out
	ReasonMoved        Reason = "moved"   // its ID was registered under another service
)

// Tombstone is the evidence that a record ended.
type Tombstone struct {
	ID           string
	Reason       Reason
	RegisteredAt int64
	Owner        string
	Seq          uint64 // the owner's last call that it covers
}

// Put asks for a record.
type Put struct {
	Service           string
	PreviousService   string // the service in which this owner has the ID registered now, if another
	ID                string
	NewID             bool  // the ID was generated for this call: nobody else can have it
	Reregister        bool  // restore a registration of Stamp, unless it was buried or superseded
	RegisteredAt      int64 // of the registration to heal
	TTL               time.Duration
	HeartbeatInterval time.Duration
	Payload           []byte
	Decoded           any
	// Overlay to start with where the backend has none of this owner's.
	Overlay []byte
	// Reset takes members out of the overlay that stands, which is kept otherwise.
	ResetOverlay []string
	// Wanted, if set, is asked right before each sending, in the order in which
	// removals are sent. Where it says no, nothing is sent and Buried is answered.
	StillWanted func() bool
}

// Outcome of a Put or a lease in Renew.
type Outcome uint8

const (
	// Done: it stands as asked.
	Done Outcome = iota
	// Lost: the backend does not hold it, or an older writing of the same owner; heal it.
	Lost
	// Superseded: a newer owner has the ID.
	Superseded
	// Buried: somebody deregistered it.
	Deregistered
	// Overtaken: a later call of the same owner stands, or stood until its lease ended.
	Overtaken
)

// PutResult answers a Put.
type PutResult struct {
	Outcome      Outcome // Done, Superseded, Buried or Overtaken
	Seq          uint64  // this call's number; of one owner's calls the later stands
	RegisteredAt int64
	Overlay      []byte
	Err          error
}

// Lease is what an owner holds.
type Lease struct {
	ID           string
	RegisteredAt int64
}

// GroupLeases are an owner's leases in one service, all of one TTL. Shared, read only.
type ServiceLeases struct {
	Service string
	TTL     time.Duration
	Leases  []Lease // in the order of their IDs a renewal costs the backend least

	// Memo is for the store: what it made of these leases, when they are renewed
	// again as they are. All that share it are the same, and go to one Store. May be nil.
	Cached *CachedValue
}

// Renewal answers for one service: only what is not Done is named.
type Renewal struct {
	Outcomes map[string]Outcome
	// Overlays as they stand, of the leases that were looked at one by one; nil
	// when nothing in the service changed since the owner's last call.
	Overlays map[string][]byte
	Err      error
}

// Removal asks for the end of a record.
type Removal struct {
	Service      string // "" when the caller does not know
	ID           string
	Own          bool  // the caller holds it, since Stamp: a newer owner's record stays
	RegisteredAt int64 // with Own
}

// Removed answers a Removal.
type RemoveResult struct {
	Existed bool
	Service string
	// Seq, if not 0, is this call's number, and no earlier call of this owner can
	// take effect any longer.
	Seq uint64
}

// Mark asks for parts of a record's overlay, which is a JSON object, to be set.
type OverlayPatch struct {
	Service string // "" when the caller does not know
	ID      string
	Set     map[string]string // JSON by member name; "" takes the member out
}

// Marked answers a Mark.
type PatchResult struct {
	Existed bool
	Changed bool
	Service string
	Rev     string // of the service, after it
	Overlay []byte
}

// Attending is a Store that other processes watch, too: each watching process
// holds a lease as a watcher, and says which revision its readers have taken.
type WatcherLeases interface {
	// Attend renews this process's watcher leases, and answers for each in the
	// given order, when ctx ends at the latest. A lease that is not renewed ends by itself.
	RenewWatcherLeases(ctx context.Context, attendances []WatcherLease) []WatcherLeaseResult

	// Behind tells of the processes that watch a service, in which id was marked at rev.
	LaggingWatchers(ctx context.Context, service, id, rev string) (Watchers, error)
}

// Attended answers for one Attendance.
type WatcherLeaseResult struct {
	Continued bool  // the lease is the one of the Attend before: the backend has known of this watcher since
	Err       error // an ErrRefused or an ErrDenied, among others
}

// Watchers are the processes that watch a service.
type Watchers struct {
	Lagging      int           // those whose readers have not taken the revision, or what came later: they are lagging
	LongestLease time.Duration // until the last lease of those ends
	RemembersRev bool          // the backend remembers the service since that revision
	// Memory names what the backend remembers of the service since some moment: with
	// another, it lost its memory, and may not know of all watchers yet. "" if not known.
	MemoryID string
	// Lost, if not negative, is how long ago it lost its memory: it remembers the
	// service only since then, and the instance's registration is older.
	MemoryLostAgo time.Duration
}

// Attendance is what one process says as a watcher of a service.
type WatcherLease struct {
	Service      string
	TTL          time.Duration // 0: it watches no more
	Acknowledged string        // the last revision that all its readers have taken
}

// Known is what a reader has of a service already.
type KnownState struct {
	Rev        string // "": nothing
	NextExpiry int64  // the earliest expiry known, backend's clock; 0: none

	// Moving: the last read found a change, so that this one may, too.
	ChangedLast bool
	// Prove: the reader is about to take what is missing for gone, so the store
	// makes sure that the backend accepts writes.
	ProveAbsence bool
	// Here: the caller does nothing else before the answer, so the store may use its goroutine.
	Blocking bool
}

// Kind says how a Reading is to be applied.
type ReadingKind uint8

const (
	// Full: Records are all that live. With an empty Rev the backend holds nothing on the service.
	Full ReadingKind = iota
	// Same: nothing changed since Known.Rev but what Expired says.
	Unchanged
	// Delta: Records and Buried are what changed since Known.Rev.
	Delta
)

// Reading is the state of a service at one moment. That a record ended is said only
// if the backend accepted a write after the end of its lease: until then its
// owner may have tried to renew it without success.
type Reading struct {
	Kind       ReadingKind
	Now        int64  // backend's clock, µs since the epoch
	Rev        string // compared for equality only
	Records    []*Record
	Tombstones []Tombstone
	// Expired names records that are part of Rev but past their expiry.
	Expired []string
	// Refused, when not nil, says why the backend accepts no write, with which it
	// would prove that a lease has ended: an ErrRefused. Then records past their
	// expiry count as live, and what is missing may have been lost.
	WritesRefused error
	// Next is the earliest expiry of those that live; 0: none.
	NextExpiry int64
	// Bad names entries that could not be read.
	Malformed []string
	// Ahead: an expiry lies further away than its TTL, so the backend's clock was set back.
	ClockSetBack bool

	// Memo is for the reader of an Instant store: what it made of this Reading.
	// Nil elsewhere.
	Cached *CachedValue
}

// Notice is a pushed change.
type Notice struct {
	// Lost, when not empty, says that messages may have been missed: read again.
	Resync string
	// Prev is the revision that Reading, a Delta, follows.
	PreviousRev string
	Reading     Reading
}

// Values of Notice.Lost.
const (
	ResyncConnected = "connected" // the subscription began, or began anew
	ResyncGap       = "gap"       // a message said less than a reader needs
)
