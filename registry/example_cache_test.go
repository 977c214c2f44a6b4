package registry_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/rollcall-sd/rollcall/registry"
)

// Answers from memory, kept up to date by a watch per service.
func ExampleCachedRegistry() {
	ctx := context.Background()
	cache := registry.NewCachedRegistry(registry.NewLocalRegistry())
	defer cache.Close() // closes the backend, too

	if err := cache.Register(ctx, registry.ServiceInfo{ID: "api-1", Name: "api", Address: "10.0.0.5", Port: 8080}); err != nil {
		fmt.Println(err)
		return
	}

	// The first Lookup of a name starts the watch; it never waits.
	first := cache.Lookup("api")
	fmt.Println(len(first.Instances), "instances, not ready:", errors.Is(first.Stale, registry.ErrNotReady))

	// Discover waits for the first state.
	instances, err := cache.Discover(ctx, "api")
	fmt.Println(len(instances), "instances, error:", err)

	// From then on a Lookup costs a map lookup and allocates nothing.
	api := cache.Lookup("api")
	fmt.Println(api.Instances[0].HostPort(), "stale:", api.Stale)
	// Output:
	// 0 instances, not ready: true
	// 1 instances, error: <nil>
	// 10.0.0.5:8080 stale: <nil>
}
