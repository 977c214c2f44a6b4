package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/rollcall-sd/rollcall/registry"
)

// readsAtOnce bounds how many services are read at the same time.
const readsAtOnce = 16

// serviceInstances are the instances of one service.
type serviceInstances struct {
	name      string
	instances []registry.Instance
}

// readAll returns the instances of all services, ordered by name. A service whose
// last instance has left meanwhile has none.
func readAll(ctx context.Context, backend registry.Backend) ([]serviceInstances, error) {
	names, err := backend.Services(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := make([]serviceInstances, len(names))
	free := make(chan struct{}, readsAtOnce)
	var reads sync.WaitGroup
	for i, name := range names {
		free <- struct{}{}
		reads.Go(func() {
			defer func() { <-free }()
			instances, err := backend.Instances(ctx, name)
			if err != nil {
				cancel(err)
			}
			all[i] = serviceInstances{name, instances}
		})
	}
	reads.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return all, nil
}

// find returns the instance with an ID, or a notFoundError. It reads all services:
// a backend has no call that reads by ID.
func find(ctx context.Context, backend registry.Backend, id string) (registry.Instance, error) {
	all, err := readAll(ctx, backend)
	if err != nil {
		return registry.Instance{}, fmt.Errorf("find %q: %w", id, err)
	}
	for _, service := range all {
		for _, instance := range service.instances {
			if instance.ID == id {
				return instance, nil
			}
		}
	}
	return registry.Instance{}, notFoundError{fmt.Errorf("no instance has the ID %q", id)}
}
