package registry

import (
	"context"
	"errors"
	"testing"
)

func TestOpenRefusesANilContext(t *testing.T) {
	for _, url := range []string{"local:", "redis://127.0.0.1:1"} {
		var none context.Context
		if _, err := Open(none, url); !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("Open with a nil context and %s: %v, want ErrInvalidConfig", url, err)
		}
	}
}
