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
)

const doctorHelp = `Check whether a Redis server permits what a registry needs, and say what to change and
why. It writes keys of its own only, which it removes. Run it as the user that the
programs have, and on a machine where they run.

The URL is that of the registry: redis://host:6379, also rediss, redis+sentinel and
redis+cluster (default: --backend, or else $` + backendVariable + `). If it has a password, use
the variable or password_file=PATH in the URL: command lines show in the process list.

Exit codes: 0 nothing must be changed, 1 something must be, 2 wrong usage.`

// doctorTimeout bounds all checks together.
const doctorTimeout = 30 * time.Second

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	url     string
	json    bool
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
		Example: "  rollcall doctor redis://localhost:6379",
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
	c.Flags().DurationVar(&o.timeout, "timeout", doctorTimeout, "for all checks together")
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
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	report, err := servercheck.CheckURL(ctx, url)
	if err != nil {
		return usageError{err}
	}
	if err := printReport(report, o.json, std); err != nil {
		return err
	}
	if n := report.Count(servercheck.Failed); n > 0 {
		return fmt.Errorf("%d of %d checks failed: something must be changed", n, len(report.Findings))
	}
	return nil
}

func printReport(report servercheck.Report, asJSON bool, std streams) error {
	if !asJSON {
		_, err := fmt.Fprint(std.out, report)
		return err
	}
	return json.NewEncoder(std.out).Encode(struct {
		OK bool `json:"ok"` // nothing must be changed
		servercheck.Report
	}{!report.Failed(), report})
}
