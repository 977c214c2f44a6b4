package balance

import (
	"errors"
	"fmt"

	"github.com/rollcall-sd/rollcall/registry"
)

// ErrNoInstances is returned when there is no instance to call. The text says
// why: no process offers the service, all instances are critical or draining, or
// none matches the selection. While the backend is unavailable and nothing is
// known yet, the error matches registry.ErrUnavailable as well.
var ErrNoInstances = errors.New("no instance to call")

// badOption says which option is not acceptable.
func badOption(name, problem string) error {
	return fmt.Errorf("%w: %s: %s", registry.ErrInvalidConfig, name, problem)
}

// callError is the error of a request, naming whom it was sent to last.
type callError struct {
	service, instance, address string
	tries                      int
	withheld                   bool // the retry budget allowed no other try
	err                        error
}

func (e *callError) Error() string {
	why := ""
	if e.withheld {
		why = "; not repeated, as the retry budget is used up"
	}
	if e.tries == 1 {
		return fmt.Sprintf("call %q at %s (instance %q): %v%s", e.service, e.address, e.instance, e.err, why)
	}
	return fmt.Sprintf("call %q: %d instances tried, last %s (instance %q): %v%s", e.service, e.tries, e.address, e.instance, e.err, why)
}

func (e *callError) Unwrap() error { return e.err }

// Timeout is asked for by url.Error, which does not unwrap.
func (e *callError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.err, &t) && t.Timeout()
}
