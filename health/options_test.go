package health_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
)

func TestNewRefusesBadOptions(t *testing.T) {
	backend := registry.NewLocalRegistry()
	defer backend.Close()
	for name, options := range map[string][]health.Option{
		"WithInterval":      {health.WithInterval(0)},
		"WithTimeout":       {health.WithTimeout(-1)},
		"WithRise":          {health.WithRise(0)},
		"WithFall":          {health.WithFall(-2)},
		"WithConcurrency":   {health.WithConcurrency(0), health.WithFall(0)}, // the first is reported
		"WithInitialStatus": {health.WithInitialStatus(registry.StatusDraining)},
		"WithLogger":        {health.WithLogger(nil)},
		"WithHTTPClient":    {health.WithHTTPClient(nil)},
		"WithHost":          {health.WithHost(nil)},
		"WithProbe":         {health.WithProbe("grpc:", nil)},
	} {
		c, err := health.New(backend, options...)
		if c != nil || !errors.Is(err, registry.ErrInvalidConfig) || !strings.Contains(err.Error(), name) {
			t.Errorf("New with a bad %s returned %v, %v, want an ErrInvalidConfig that names it", name, c, err)
		}
	}
	if _, err := health.New(nil); !errors.Is(err, registry.ErrInvalidConfig) || !strings.Contains(err.Error(), "backend") {
		t.Errorf("New without a backend returned %v, want an ErrInvalidConfig that names it", err)
	}
	if _, err := health.New(backend, health.WithProbe("GRPC", nil)); err == nil {
		t.Error("New accepted a scheme in upper case")
	}
}
