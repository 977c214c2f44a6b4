package registry_test

import (
	"context"
	"fmt"

	"github.com/rollcall-sd/rollcall/registry"
)

// Following a service. A snapshot is complete, so there is nothing to add up.
func ExampleWatcher() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	backend := registry.NewLocalRegistry()
	defer backend.Close()

	// What happens next, once the watch has shown so many instances.
	next := map[int]func() error{
		0: func() error {
			return backend.Register(ctx, registry.ServiceInfo{ID: "api-1", Name: "api", Address: "10.0.0.5", Port: 8080})
		},
		1: func() error {
			return backend.Register(ctx, registry.ServiceInfo{ID: "api-2", Name: "api", Address: "10.0.0.6", Port: 8080})
		},
		2: func() error { cancel(); return nil },
	}
	for api := range backend.Watch(ctx, "api") {
		if api.Stale != nil {
			fmt.Println("the backend is unavailable, so this is the last known state:", api.Stale)
		}
		fmt.Print(len(api.Instances), " instances:")
		for _, s := range api.Instances {
			fmt.Print(" ", s.ID)
		}
		fmt.Println()
		if err := next[len(api.Instances)](); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println("the watch ends with its context")
	// Output:
	// 0 instances:
	// 1 instances: api-1
	// 2 instances: api-1 api-2
	// the watch ends with its context
}
