package main

import (
	"context"
	"errors"
	"os"
	"os/signal"

	"github.com/rollcall-sd/rollcall/cmd/internal/demo"
)

// demoServerCommand is one server of the demo on Redis. The demo starts it. It
// leaves when its standard input ends, so it does not outlive the demo.
func demoServerCommand(ctx context.Context, args []string, std streams) error {
	if len(args) != 1 || os.Getenv(backendVariable) == "" {
		return usageError{errors.New("only \"rollcall demo\" starts this command")}
	}
	// Ctrl-C reaches the demo's whole process group; the demo stops the servers.
	signal.Ignore(os.Interrupt)
	return demo.RunServer(ctx, os.Getenv(backendVariable), args[0], std.in, std.err)
}
