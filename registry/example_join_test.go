package registry_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/rollcall-sd/rollcall/registry"
)

// A membership knows its generated ID, and says when it was lost.
func ExampleJoin() {
	ctx := context.Background()
	backend := registry.NewLocalRegistry()
	defer backend.Close()

	worker := registry.ServiceInfo{Name: "worker", Address: "10.0.0.5", Port: 9000}
	first, err := registry.Join(ctx, backend, worker)
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := registry.Join(ctx, backend, worker)
	if err != nil {
		fmt.Println(err)
		return
	}

	// An operator takes the first one out.
	if err := backend.Deregister(ctx, first.ID()); err != nil {
		fmt.Println(err)
		return
	}
	<-first.Lost()
	fmt.Println("the first was deregistered:", errors.Is(first.Err(), registry.ErrDeregistered))

	// The second goes by itself, which is no loss.
	fmt.Println("the second leaves:", second.Leave(ctx), second.Err())

	workers, err := backend.Discover(ctx, "worker")
	fmt.Println(len(workers), "workers, error:", err)
	// Output:
	// the first was deregistered: true
	// the second leaves: <nil> <nil>
	// 0 workers, error: <nil>
}
