package health_test

import (
	"context"
	"testing"

	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

func TestCheckerConforms(t *testing.T) {
	// The suite's instances have an endpoint on an address without a listener,
	// and must keep the status that they are registered with.
	agree := func(_ context.Context, target health.Target) health.Result {
		switch s := target.Instance.Status; s {
		case registry.StatusWarning, registry.StatusCritical:
			return health.Result{Status: s}
		}
		return health.Passing("")
	}
	registrytest.Run(t, registrytest.Harness{
		Backend: true,
		Bubble:  true,
		New: func(testing.TB) registrytest.Universe {
			return registrytest.Universe{Open: func(t testing.TB) registry.Registry {
				return check(t, registry.NewLocalRegistry(), settings{
					Fall: 1, Logger: quiet, Probes: map[string]health.Probe{"http": agree},
				})
			}}
		},
	})
}
