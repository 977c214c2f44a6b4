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

// backendVariable names the environment variable that replaces --backend. A
// password in it does not show in the process list.
const backendVariable = "ROLLCALL_BACKEND"

const demoUsage = `Usage: rollcall demo [--backend URL]

Starts three HTTP servers on 127.0.0.1, registers them, watches them and calls
those that the watch lists. Then kills one, stops one and starts a fourth.
Ends within 20 seconds.

  --backend URL   where to register (default: $` + backendVariable + `, or else "local:")
                  local:                  in memory; needs no server
                  redis://localhost:6379  on Redis; each server is a process;
                                          also rediss, redis+sentinel, redis+cluster.
                                          If it has a password, set $` + backendVariable + `:
                                          command lines show in the process list.
`

// demoCommand demonstrates registration, discovery and watching.
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
