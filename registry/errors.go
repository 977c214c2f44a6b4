package registry

import (
	"errors"
	"fmt"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Errors that calls return, wrapped with what failed, on what, and what to do.
// Compare with errors.Is.
var (
	// ErrClosed: the registry was closed.
	ErrClosed error = store.ErrClosed
	// ErrInvalidService: a ServiceInfo, an ID or a service name is not acceptable; the text names the field.
	ErrInvalidService = errors.New("invalid service")
	// ErrInvalidConfig: a configuration or URL is not acceptable; the text names the field.
	ErrInvalidConfig = errors.New("invalid configuration")
	// ErrNotFound: no instance of that ID is live.
	ErrNotFound = errors.New("instance not found")
	// ErrUnavailable: the backend could not be reached or did not answer.
	ErrUnavailable error = store.ErrUnavailable
	// ErrNotReady: nothing is known of the service yet.
	ErrNotReady = errors.New("no state known yet")
	// ErrSuperseded: a newer owner registered the same ID.
	ErrSuperseded = errors.New("superseded by a newer owner")
	// ErrDeregistered: another registry deregistered the instance. It matches ErrNotFound, too.
	ErrDeregistered = fmt.Errorf("deregistered by another registry: %w", ErrNotFound)
)

// failed words the error of a call on a service or an instance.
func opError(call, subject string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", call, subject, err)
}
