// Package store is the seam between the registry's logic and its backends. It
// is what a backend implements, and all that internal/core knows of one.
//
// A backend keeps records: leased entries of a service, each with its owner's
// payload and a small overlay that others may patch. It knows nothing of the
// contents of either, nor of health or HTTP.
//
//	store.go            Store and its rules
//	record.go           what a backend keeps: records, leases, tombstones
//	write.go            calls that write, and their results
//	event.go            changes as people see them
//	read.go             readings and pushed notices
//	optional.go         interfaces that a Store may implement as well
//	hints.go            what a caller says to spare a backend work
//	fencing.go          which of two writes of one ID stands
//	storetest/          the rules as tests
package store

import (
	"context"
	"errors"
)

// Errors of a Store. Any other error that a Store returns is wrapped in one of
// these or is the caller's own context error.
var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("registry is closed")

	// ErrUnavailable is returned when the backend did not do what was asked.
	ErrUnavailable = errors.New("backend is unavailable")

	// ErrForeignData is returned with ErrUnavailable when the backend answers, but
	// data that is not the registry's stands in the place of one service.
	ErrForeignData = errors.New("another program's data is in the place of this service")

	// ErrWritesRefused is returned with ErrUnavailable when the backend answers reads
	// and refuses writes, so that owners cannot renew, and no absence is proven.
	ErrWritesRefused = errors.New("it refuses writes, so instances whose leases ended may still run")

	// ErrNoPermission is returned with ErrUnavailable when this user may never write
	// what was asked.
	ErrNoPermission = errors.New("the user has no right to write it")
)

// Catalog is the service whose records are the names of the services that have a
// live record. A Store maintains it; callers only read and watch it.
const Catalog = ""

// Store is a backend. Its rules:
//
//  1. All methods are safe for concurrent use.
//  2. A method with a context returns when that ends, whatever the backend does.
//     What was sent by then may still take effect, but not after the deadline that
//     was sent with it.
//  3. An ID has at most one live record. Put under another service moves it: the
//     new service shows it before the old one stops to, never neither.
//  4. Which of two writes of one ID stands is what FencingVerdict says. Of one
//     owner's calls the later stands, in whatever order they arrive; of two owners'
//     registrations the newer; what was deregistered stays out until a new
//     registration. A call that is sent twice takes effect once.
//  5. The backend's clock alone decides: it ends leases and gives registration
//     times, which are unique within a service.
//  6. A lease that is not renewed ends after its TTL.
//  7. A record ends with evidence, a Tombstone, which the backend keeps for minutes.
//     That a lease ended is evidence only if the backend accepted a write after its
//     end: until then its owner may have tried to renew it without success.
//  8. A revision names a state of a service. It differs after each change and stays
//     the same while nothing changes; renewals are no change.
//  9. A read starts after the call of Read. It reports the state at one moment.
//  10. Pushed notices of one service come in order. They may be lost, which a later
//     PreviousRev or a Resync shows.
//  11. The payload and the overlay are opaque: the store stores and returns them
//     unchanged, but for the members that a PatchOverlay sets.
//  12. Each change of an ID in a service is an Event. The backend remembers the last 100 of a
//     service, and of removals those of the last 10 minutes, or 24 h if another than the owner
//     made them, until it loses its memory. A renewal is none and costs nothing more for it.
//  13. Records of a Reading belong to its receiver, but for a Local store's.
type Store interface {
	// Put registers or reregisters records. It returns the results in the order of puts.
	Put(ctx context.Context, puts []Put) []PutResult

	// Renew extends leases. It returns the results in the order of leases.
	Renew(ctx context.Context, leases []ServiceLeases) []Renewal

	// Remove ends a record and leaves a tombstone.
	Remove(ctx context.Context, removal Removal) (RemoveResult, error)

	// PatchOverlay sets members of a record's overlay. The record may be another owner's.
	PatchOverlay(ctx context.Context, patch OverlayPatch) (PatchResult, error)

	// Events returns what the backend remembers of a service's changes, oldest first.
	Events(ctx context.Context, service string) ([]Event, error)

	// Read reads the state of a service. It calls done exactly once, from any
	// goroutine, possibly before Read returns.
	Read(service string, known KnownState, done func(Reading, error))

	// Watch calls notify, from one goroutine at a time, with what changes in the
	// service, until stop is called.
	Watch(service string, notify func(Notice)) (stop func())

	// Close releases what the store started and waits for it.
	Close() error
}
