// Command release prepares and checks releases of the repository's modules. See
// docs/releasing.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `Usage: release check | tidy | prepare VERSION

  check            do what a user does with a release, with the tree as it is
  tidy             run "go mod tidy" in each published module
  prepare VERSION  check, commit the requirements of a release and tag its modules locally
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		stop()
		os.Exit(1)
	}
}

// run works on the repository that scripts/tools, the current folder, is in.
func run(ctx context.Context, args []string) error {
	t, err := openTree("../..")
	if err != nil {
		return err
	}
	c := check{
		program: t.root() + "/cmd/rollcall",
		source:  "release/testdata/program",
		imports: []string{t.root() + "/registry", t.root() + "/balance", t.root() + "/health", t.root() + "/grpcresolver"},
	}
	switch {
	case len(args) == 1 && args[0] == "check":
		return c.run(ctx, t, os.Stdout)
	case len(args) == 1 && args[0] == "tidy":
		return t.tidy(ctx)
	case len(args) == 2 && args[0] == "prepare":
		if err := t.mayRelease(args[1]); err != nil {
			return err
		}
		if err := c.run(ctx, t, os.Stdout); err != nil {
			return err
		}
		return t.prepare(args[1], os.Stdout)
	}
	return fmt.Errorf("wrong arguments\n%s", usage)
}
