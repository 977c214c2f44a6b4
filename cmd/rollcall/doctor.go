package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/internal/servercheck"
	"github.com/rollcall-sd/rollcall/internal/serverproof"
)

const doctorHelp = `Check whether a Redis server permits what a registry needs, and say what to change and
why. It writes keys of its own only, which it removes. Run it as the user that the
programs have, and on a machine where they run.

The URL is that of the registry: redis://host:6379, also rediss, redis+sentinel and
redis+cluster (default: --backend, or else $` + backendVariable + `). If it has a password, use
the variable or password_file=PATH in the URL: command lines show in the process list.

--prove runs the conformance suite and a fault drill as well, if nothing must be
changed. It takes half a minute, in namespaces of its own and with faults of this
program's own connections; it stops no server and touches nothing of others.

Exit codes: 0 nothing must be changed, 1 something must be or a promise was broken,
2 wrong usage.`

// doctorTimeout bounds all checks together.
const doctorTimeout = 30 * time.Second

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	url     string
	json    bool
	prove   bool
	timeout time.Duration
}

// doctorCommand checks a server.
func doctorCommand(std streams) *cobra.Command {
	var from connectFlags
	var o doctorOptions
	c := &cobra.Command{
		Use:     "doctor [URL]",
		Short:   "Check whether a Redis server permits what a registry needs",
		Long:    doctorHelp,
		Example: "  rollcall doctor redis://localhost:6379\n  rollcall doctor --prove redis://localhost:6379",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usageError{fmt.Errorf("unexpected argument %q", args[1])}
			case len(args) == 1 && from.backend != "":
				return usageError{errors.New("the URL is given twice")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			o.url = from.backend
			if len(args) == 1 {
				o.url = args[0]
			}
			return doctor(c.Context(), o, std)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	from.add(c)
	addJSONFlag(c, &o.json)
	c.Flags().DurationVar(&o.timeout, "timeout", doctorTimeout, "for all checks together, without --prove")
	c.Flags().BoolVar(&o.prove, "prove", false, "run the conformance suite and a fault drill, too")
	return c
}

// doctor prints the findings. It returns an error if something must be changed.
func doctor(ctx context.Context, o doctorOptions, std streams) error {
	url := cmp.Or(o.url, os.Getenv(backendVariable))
	switch {
	case url == "":
		return usageError{fmt.Errorf("no server to check: give its URL, or set $%s, to redis://localhost:6379 for example", backendVariable)}
	case strings.EqualFold(url, "local:"):
		return usageError{errors.New("local: is memory of one process: there is no server to check")}
	case o.timeout <= 0:
		return usageError{errors.New("--timeout must be positive")}
	}
	report, err := checkServer(ctx, url, o.timeout)
	if err != nil {
		return usageError{err}
	}
	if !o.json {
		if _, err := fmt.Fprint(std.out, report); err != nil {
			return err
		}
	}
	proof, proveErr := proveServer(ctx, url, o, report, std)
	if o.json {
		if err := json.NewEncoder(std.out).Encode(doctorJSON{
			OK: !report.Failed() && proveErr == nil && (proof == nil || !proof.Failed()), Report: report, Proof: proof,
		}); err != nil {
			return err
		}
	}
	n := report.Count(servercheck.Failed)
	switch {
	case n > 0 && o.prove:
		return fmt.Errorf("%d of %d checks failed: something must be changed first; nothing was proved", n, len(report.Findings))
	case n > 0:
		return fmt.Errorf("%d of %d checks failed: something must be changed", n, len(report.Findings))
	case proveErr != nil:
		return proveErr
	case proof != nil && proof.Failed():
		return errors.New("a promise was broken; on a busy machine or network, repeat it before you believe it")
	}
	return nil
}

// doctorJSON is what --json prints. Keys may be added.
type doctorJSON struct {
	OK bool `json:"ok"` // nothing must be changed, and no promise was broken
	servercheck.Report
	Proof *serverproof.Report `json:"proof"` // null without --prove, or if something must be changed
}

func checkServer(ctx context.Context, url string, timeout time.Duration) (servercheck.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return servercheck.CheckURL(ctx, url)
}

// proveTimeout bounds --prove.
const proveTimeout = 5 * time.Minute

// proveServer returns nil if it is not asked for, or something must be changed first.
func proveServer(ctx context.Context, url string, o doctorOptions, found servercheck.Report, std streams) (*serverproof.Report, error) {
	if !o.prove || found.Failed() {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, proveTimeout)
	defer cancel()
	if !o.json {
		fmt.Fprintln(std.out, "\nproving it, which takes about half a minute ...")
	}
	proof, err := serverproof.Run(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("--prove needs the right to keys and channels that begin with \"rollcall:\" (docs/operating.md): %w", err)
	}
	if !o.json {
		fmt.Fprint(std.out, proof)
	}
	return &proof, nil
}
