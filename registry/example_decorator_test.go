package registry_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/rollcall-sd/rollcall/registry"
)

// readOnly is a Backend that refuses registrations. Its other methods are those of the
// Backend that it embeds, which must not be nil.
type readOnly struct{ registry.Backend }

func (readOnly) Register(context.Context, registry.ServiceInfo) error {
	return errors.New("this registry is read only")
}

// A test of a program wraps a local registry and overrides the methods of interest.
func ExampleBackend_decorator() {
	ctx := context.Background()
	local := registry.NewLocalRegistry()
	defer local.Close()
	api := registry.ServiceInfo{ID: "api-1", Name: "api", Address: "10.0.0.5", Port: 8080}
	if err := local.Register(ctx, api); err != nil {
		fmt.Println(err)
		return
	}

	// The decorator works wherever a Backend is expected.
	cache := registry.NewCachedRegistry(readOnly{local})
	instances, err := cache.Discover(ctx, "api")
	fmt.Println(len(instances), "instance, error:", err)
	_, err = registry.Join(ctx, cache, api)
	fmt.Println("Join:", err)
	// Output:
	// 1 instance, error: <nil>
	// Join: this registry is read only
}

// A program that calls Register itself learns of a loss by NotifyLost.
func ExampleBackend_notifyLost() {
	ctx := context.Background()
	backend := registry.NewLocalRegistry()
	defer backend.Close()
	api := registry.ServiceInfo{ID: "api-1", Name: "api", Address: "10.0.0.5", Port: 8080}
	if err := backend.Register(ctx, api); err != nil {
		fmt.Println(err)
		return
	}
	lost := make(chan error, 1)
	stop := backend.NotifyLost("api-1", func(err error) { lost <- err })
	defer stop()

	// An operator deregisters the instance.
	if err := backend.Deregister(ctx, "api-1"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-lost)
	// Output:
	// registration of "api-1": instance was deregistered: instance not found
}
