package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/rollcall-sd/rollcall/cmd/internal/demo"
	"github.com/rollcall-sd/rollcall/registry"
)

// backendVariable names the environment variable that stands in for --backend,
// so that a password need not show in the process list.
const backendVariable = "ROLLCALL_BACKEND"

const demoUsage = `Usage: rollcall demo [--backend URL]

Starts three small HTTP servers on 127.0.0.1, registers them and calls them
through what a watch returns. Then one is killed, one leaves politely and a
fourth starts. Ends by itself within 20 seconds.

  --backend URL   where to register (default: $` + backendVariable + `, or else "local:")
                  local:                  in memory; needs nothing but this program
                  redis://localhost:6379  on Redis, each server a process of its own;
                                          also rediss, redis+sentinel, redis+cluster.
                                          With a password, rather set $` + backendVariable + `:
                                          a command line shows in the process list.
`

// demoCommand shows registration, discovery and watching at work.
func demoCommand(ctx context.Context, args []string, std streams) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), demoUsage) }
	backend := flags.String("backend", "", "")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	if *backend == "" {
		*backend = os.Getenv(backendVariable)
	}
	err := demo.Run(ctx, demo.Options{
		Backend:       *backend,
		Out:           std.out,
		ServerCommand: "demo-server",
		URLVariable:   backendVariable,
	})
	switch {
	case errors.Is(err, registry.ErrInvalidConfig):
		return usageError{fmt.Errorf("--backend or $%s: %w", backendVariable, err)}
	case errors.Is(err, registry.ErrUnavailable):
		return fmt.Errorf("%w (without --backend and $%s the demo runs in memory)", err, backendVariable)
	}
	return err
}
