package registry_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/rollcall-sd/rollcall/registry"
)

// Registering an instance, registering it again, and what is refused.
func ExampleRegistry_register() {
	ctx := context.Background()
	backend, err := registry.Open(ctx, "local:") // on Redis: "redis://localhost:6379"
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Close()

	api := registry.ServiceInfo{
		ID:             "api-1", // left empty, it is generated
		Name:           "api",
		Version:        "1.4.2",
		Address:        "10.0.0.5",
		Port:           8080,
		HealthEndpoint: "/health/ready",
		Metadata:       map[string]string{registry.MetadataZone: "eu-1"},
		Tags:           []string{"http"},
	}
	fmt.Println("registered:", backend.Register(ctx, api))

	api.Version = "1.5.0"
	fmt.Println("replaced:", backend.Register(ctx, api))

	err = backend.Register(ctx, registry.ServiceInfo{Name: "api", Address: "10.0.0.6"})
	fmt.Println("refused:", errors.Is(err, registry.ErrInvalidService), err)

	fmt.Println("deregistered:", backend.Deregister(ctx, "api-1"))
	fmt.Println("unknown:", backend.Deregister(ctx, "unknown"))
	// Output:
	// registered: <nil>
	// replaced: <nil>
	// refused: true invalid service: Port: 0 is outside 1-65535
	// deregistered: <nil>
	// unknown: <nil>
}
