package registry_test

import (
	"context"
	"fmt"

	"github.com/rollcall-sd/rollcall/registry"
)

// The callable instances of a service, oldest first. Without any, the list is empty and
// the error nil.
func ExampleRegistry_discover() {
	ctx := context.Background()
	backend := registry.NewLocalRegistry()
	defer backend.Close()

	for _, s := range []registry.ServiceInfo{
		{ID: "api-1", Name: "api", Address: "10.0.0.5", Port: 8080},
		{ID: "api-2", Name: "api", Address: "2001:db8::1", Port: 8080},
		{ID: "db-1", Name: "db", Address: "10.0.0.7", Port: 5432},
	} {
		if err := backend.Register(ctx, s); err != nil {
			fmt.Println(err)
			return
		}
	}

	instances, err := backend.Discover(ctx, "api")
	for _, s := range instances {
		fmt.Println(s.ID, s.HostPort())
	}
	fmt.Println("error:", err)

	instances, err = backend.Discover(ctx, "unknown")
	fmt.Println(len(instances), "instances, error:", err)

	names, err := backend.Services(ctx)
	fmt.Println(names, "error:", err)
	// Output:
	// api-1 10.0.0.5:8080
	// api-2 [2001:db8::1]:8080
	// error: <nil>
	// 0 instances, error: <nil>
	// [api db] error: <nil>
}
