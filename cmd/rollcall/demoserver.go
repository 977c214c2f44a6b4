package main

import (
	"errors"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/cmd/internal/demo"
)

// demoServerCommand is one server of the demo on Redis. The demo starts it. It
// leaves when its standard input ends, so it does not outlive the demo.
func demoServerCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use:    "demo-server ID",
		Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || os.Getenv(backendVariable) == "" {
				return usageError{errors.New("only \"rollcall demo\" starts this command")}
			}
			// Ctrl-C reaches the demo's whole process group; the demo stops the servers.
			signal.Ignore(os.Interrupt)
			return demo.RunServer(c.Context(), os.Getenv(backendVariable), args[0], std.in, std.err)
		},
	}
}
