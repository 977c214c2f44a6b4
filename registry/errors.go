package registry

import (
	"errors"
	"fmt"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Calls return these errors wrapped in what failed and on what. Compare with errors.Is.
var (
	// ErrClosed is returned by calls after Close.
	ErrClosed error = store.ErrClosed
	// ErrInvalidService is returned when a ServiceInfo, an ID or a service name is not
	// acceptable. The text names the field.
	ErrInvalidService = errors.New("invalid service")
	// ErrInvalidConfig is returned when a configuration or URL is not acceptable. The
	// text names the field.
	ErrInvalidConfig = errors.New("invalid configuration")
	// ErrNotFound is returned by SetStatus, Drain and Undrain when no live instance has
	// the ID.
	ErrNotFound = errors.New("instance not found")
	// ErrUnavailable is returned when the backend cannot be reached, does not answer or
	// refuses the operation.
	ErrUnavailable error = store.ErrUnavailable
	// ErrNotReady is the Stale of a CachedRegistry's Lookup before the first state of a
	// service.
	ErrNotReady = errors.New("no state known yet")
	// ErrSuperseded is the Err of a Membership when a newer owner registered its ID.
	ErrSuperseded = errors.New("superseded by a newer owner")
	// ErrDeregistered is the Err of a Membership when its instance was deregistered by
	// its ID. It also matches ErrNotFound.
	ErrDeregistered = fmt.Errorf("instance was deregistered: %w", ErrNotFound)
)

// opError returns the error of an operation on a service or an instance, or nil.
func opError(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", op, subject, err)
}
