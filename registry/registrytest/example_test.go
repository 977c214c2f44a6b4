package registrytest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

// An implementation's own test calls Run. This one lives in memory, each of its
// registries alone, and can be watched: it declares Backend, and nothing else.
func ExampleRun() {
	testConformance := func(t *testing.T) {
		registrytest.Run(t, registrytest.Harness{
			New: func(testing.TB) registrytest.Universe {
				return registrytest.Universe{
					Open: func(testing.TB) registry.Registry { return registry.NewLocalRegistry() },
				}
			},
			Backend: true,
			Bubble:  true,
		})
	}
	_ = testConformance // is TestConformance(t *testing.T) in a test file
}

// What does a program do while the registry is unavailable?
func ExampleFlaky() {
	ctx := context.Background()
	flaky := registrytest.NewFlaky(registry.NewLocalRegistry())
	defer flaky.Close()
	if err := flaky.Register(ctx, registry.ServiceInfo{ID: "a", Name: "api", Address: "192.0.2.1", Port: 80}); err != nil {
		fmt.Println(err)
	}

	flaky.Disconnect(errors.New("cable cut"))
	_, err := flaky.Discover(ctx, "api")
	fmt.Println("disconnected:", errors.Is(err, registry.ErrUnavailable))

	flaky.Reconnect()
	list, err := flaky.Discover(ctx, "api")
	fmt.Println("reconnected:", len(list), err)
	// Output:
	// disconnected: true
	// reconnected: 1 <nil>
}
