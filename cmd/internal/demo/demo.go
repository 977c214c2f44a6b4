// Package demo demonstrates the library: HTTP servers start, die and stop, a watch
// shows it, and a caller calls the instances that the watch lists.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// service is the name under which the demo's servers register.
const service = "hello"

// limit ends a demo that waits too long, so that it takes at most 20 s, including
// the time to stop everything, even if Redis hangs.
const limit = 14 * time.Second

// Options say where the demo runs. All fields but Backend are required.
type Options struct {
	// Backend is the URL to open. Default: "local:".
	Backend string
	// Out is where the demo writes: redrawn in place on a terminal, plain lines elsewhere.
	Out *os.File
	// ServerCommand is the subcommand of this executable that calls RunServer, with
	// its argument as the instance ID and the URL from the environment variable
	// URLVariable.
	ServerCommand, URLVariable string
}

// Run runs the demo to its end, stops everything that it started and returns. When
// ctx ends first it stops early and returns nil. An error matches
// registry.ErrInvalidConfig if the backend's URL is wrong, or
// registry.ErrUnavailable if the backend can't be reached.
func Run(ctx context.Context, options Options) (err error) {
	target, err := newTarget(options.Backend)
	if err != nil {
		return err
	}
	b := newBoard(newScreen(options.Out))
	logToBoard(b)

	limited, cancelLimit := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit))
	defer cancelLimit()
	backend, err := registry.Open(limited, target.url)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("open %s: %w", target.name, reason(err))
	}
	defer func() { err = errors.Join(err, backend.Close()) }()

	// A server that ends unexpectedly cancels run, with the reason as its cause.
	run, fail := context.WithCancelCause(limited)
	defer fail(nil)

	var servers fleet
	if target.local {
		servers = newGoroutines(backend, fail)
	} else if servers, err = newProcesses(options, target.url, b, fail); err != nil {
		return err
	}
	defer servers.close()

	err = play(run, target, backend, servers, b)
	if err != nil && ctx.Err() != nil {
		b.say("", "", "Stopped before the end; stopping the servers.")
		return nil
	}
	return err
}

// reason removes the configuration from an unavailable backend's error: the demo
// names the backend itself.
func reason(err error) error {
	for {
		inner := errors.Unwrap(err)
		if !errors.Is(inner, registry.ErrUnavailable) || inner == registry.ErrUnavailable {
			return err
		}
		err = inner
	}
}

// logToBoard shows the library's log lines as events, so that they do not break
// the table.
func logToBoard(b *board) {
	slog.SetDefault(newLogger(&lineWriter{handle: func(line string) { b.say(kindLog, "", "%s", line) }}))
}
