package health_test

import (
	"testing"

	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

func TestCheckerConforms(t *testing.T) {
	always := map[string]health.Probe{}
	registrytest.Run(t, registrytest.Harness{
		Backend: true,
		Bubble:  true,
		New: func(testing.TB) registrytest.Universe {
			return registrytest.Universe{Open: func(testing.TB) registry.Registry {
				return health.Check(registry.NewLocalRegistry(), health.Options{Logger: quiet, Probes: always})
			}}
		},
	})
}
