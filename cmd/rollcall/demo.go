package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/cmd/internal/demo"
	"github.com/rollcall-sd/rollcall/registry"
)

const demoHelp = `Start three HTTP servers on 127.0.0.1, register them, watch them and call those that
the watch lists. Then kill one, stop one and start a fourth. Ends within 20 seconds.

Without --backend and $` + backendVariable + ` it runs in memory and needs no server. On Redis each
server is a process, in a namespace of the demo's own. If the URL has a password, put
it into $` + backendVariable + `: command lines show in the process list.`

// demoCommand demonstrates registration, discovery and watching. It opens its backend
// itself: each of its servers is a process with a backend of its own.
func demoCommand(std streams) *cobra.Command {
	var on connectFlags
	c := &cobra.Command{
		Use:     "demo",
		Short:   "Start, kill and stop servers while a watch shows it (11 seconds)",
		Long:    demoHelp,
		Example: "  rollcall demo\n  rollcall demo --backend redis://localhost:6379",
		Args:    arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			err := demo.Run(c.Context(), demo.Options{
				Backend:       cmp.Or(on.backend, os.Getenv(backendVariable)),
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
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	on.add(c)
	return c
}
