package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/registry"
)

// drainCommand takes an instance out of use and waits for the processes that watch it.
func drainCommand(std streams) *cobra.Command {
	var from connectFlags
	var timeout time.Duration
	c := &cobra.Command{
		Use:     "drain ID",
		GroupID: groupChange,
		Short:   "Take an instance out of use and wait for its watchers",
		Long: `Take an instance out of use, and wait until every process that watches its service
has acknowledged the state without it. The instance stays registered and drains until
"rollcall undrain" or its end. After --timeout the exit code is 1, the error says how many
processes have not acknowledged, and the drain remains. Callers of Discover, and clients
behind DNS and HTTP, are not waited for. Exit code 3 if no instance has the ID.
` + backendHelp,
		Example: "  rollcall drain api-1 --timeout 1m",
		Args:    arguments("ID"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if timeout <= 0 {
				return usageError{errors.New("--timeout must be greater than 0")}
			}
			ctx := c.Context()
			backend, err := connect(ctx, from)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, backend.Close()) }()
			return drain(ctx, std, backend, args[0], timeout)
		},
		ValidArgsFunction: completeIDs(&from),
	}
	from.add(c)
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the watching processes")
	return c
}

func drain(ctx context.Context, std streams, backend registry.Backend, id string, timeout time.Duration) error {
	finding, cancel := context.WithTimeout(ctx, callTimeout)
	instance, err := find(finding, backend, id)
	cancel()
	if err != nil {
		return err
	}
	if err := say(std, "draining %s of %s at %s: waiting for each process that watches %s, for %v at most",
		id, instance.Name, instance.HostPort(), instance.Name, timeout); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch err := backend.Drain(waiting, id); {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w (the drain remains; \"rollcall undrain\" ends it)", err)
	case err != nil:
		return err
	}
	return say(std, "drained %s: each process that watches %s has acknowledged it", id, instance.Name)
}
