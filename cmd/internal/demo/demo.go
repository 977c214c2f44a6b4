// Package demo shows the library at work: real HTTP servers come and go, a
// watch follows, and a caller calls whom the watch names.
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

// limit ends a demo that waits in vain, so that it stays within 20 s with the
// time to stop everything, even if Redis hangs.
const limit = 14 * time.Second

// Options say where the demo runs. All fields but Backend are required.
type Options struct {
	// Backend is the URL to open. Default: "local:".
	Backend string
	// Out takes the story: redrawn in place on a terminal, plain lines elsewhere.
	Out *os.File
	// ServerCommand is the subcommand of this executable that calls RunServer with
	// the instance ID it is given as its argument and the URL in the environment
	// variable URLVariable.
	ServerCommand, URLVariable string
}

// Run plays the demo to its end, stops all that it started and returns. When
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

	// A server that ends unasked cancels run with the reason as its cause.
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
		b.say("", "", "Stopped before the end; the servers leave.")
		return nil
	}
	return err
}

// reason strips an unavailable backend's error of the configuration, which it
// repeats in full: the demo names what it opens in its own words.
func reason(err error) error {
	for {
		inner := errors.Unwrap(err)
		if !errors.Is(inner, registry.ErrUnavailable) || inner == registry.ErrUnavailable {
			return err
		}
		err = inner
	}
}

// logToBoard has the library's warnings shown as events, where they don't tear
// the table apart.
func logToBoard(b *board) {
	slog.SetDefault(newLogger(&lines{take: func(line string) { b.say(kindLog, "", "%s", line) }}))
}
