package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/registry"
)

// backendVariable names the environment variable that replaces --backend. A
// password in it does not show in the process list.
const backendVariable = "ROLLCALL_BACKEND"

// callTimeout bounds what a command does in one go, connecting included.
const callTimeout = 10 * time.Second

const backendHelp = `
The backend is --backend, or else $` + backendVariable + `: every URL that the library opens, such
as redis://host:6379, rediss://…, redis+sentinel://…, redis+cluster://… and local:.
Keep a password out of the command line, which the process list shows: put
password_file=PATH into the URL, or the URL into $` + backendVariable + `.`

// connectFlags say which backend a command works on.
type connectFlags struct {
	backend string
}

func (f *connectFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.backend, "backend", "", "`URL` of the backend (default: $"+backendVariable+")")
	_ = c.RegisterFlagCompletionFunc("backend", cobra.NoFileCompletions) // fails only for a flag that does not exist
}

// connect opens the backend that the flags name. Every command that needs a backend
// gets it here, and closes it.
func connect(ctx context.Context, f connectFlags) (registry.Backend, error) {
	url := cmp.Or(f.backend, os.Getenv(backendVariable))
	if url == "" {
		return nil, usageError{fmt.Errorf("no backend: set --backend or $%s, to redis://localhost:6379 for example", backendVariable)}
	}
	backend, err := registry.Open(ctx, url)
	if errors.Is(err, registry.ErrInvalidConfig) {
		return nil, usageError{fmt.Errorf("--backend or $%s: %w", backendVariable, err)}
	}
	return backend, err
}

// withBackend connects, calls do and closes the backend. All of it but the closing
// takes at most callTimeout.
func withBackend(ctx context.Context, f connectFlags, do func(context.Context, registry.Backend) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	backend, err := connect(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	return do(ctx, backend)
}
