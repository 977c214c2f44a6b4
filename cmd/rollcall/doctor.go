package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/internal/servercheck"
)

const doctorUsage = `Usage: rollcall doctor [--json] [--timeout 30s] [URL]

Checks whether a Redis server permits what a registry needs, and says what to change
and why. It writes keys of its own only, which it removes. Run it as the user that
the programs have, and on a machine where they run.

  URL            of the registry: redis://host:6379, also rediss, redis+sentinel and
                 redis+cluster (default: --backend, or else $` + backendVariable + `).
                 If it has a password, use the variable or password_file=PATH in the
                 URL: command lines show in the process list.
  --backend URL  the same
  --json         print JSON for scripts
  --timeout      for all checks together

Exit codes: 0 nothing must be changed, 1 something must be, 2 wrong usage.
`

// doctorTimeout bounds all checks together.
const doctorTimeout = 30 * time.Second

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	url     string
	json    bool
	timeout time.Duration
}

// doctorCommand checks a server.
func doctorCommand(ctx context.Context, args []string, std streams) error {
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), doctorUsage) }
	var o doctorOptions
	flags.StringVar(&o.url, "backend", "", "")
	flags.BoolVar(&o.json, "json", false, "")
	flags.DurationVar(&o.timeout, "timeout", doctorTimeout, "")
	url, args := urlArgument(args)
	if err := parse(flags, args, std); err != nil {
		return err
	}
	if url != "" && o.url != "" {
		return usageError{errors.New("the URL is given twice")}
	}
	o.url = cmp.Or(url, o.url)
	return doctor(ctx, o, std)
}

// urlArgument returns the argument that is a URL and no flag's value, and the others.
func urlArgument(args []string) (url string, others []string) {
	for i, arg := range args {
		if strings.Contains(arg, ":") && !strings.HasPrefix(arg, "-") && (i == 0 || strings.TrimLeft(args[i-1], "-") != "backend") {
			return arg, slices.Delete(slices.Clone(args), i, i+1)
		}
	}
	return "", args
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
