// Command rollcall demonstrates Rollcall, service discovery on Redis. Run it without
// arguments for its subcommands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes. A stop by Ctrl-C or SIGTERM is a success.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// A command is one subcommand; each has a file of its own.
type command struct {
	name    string
	summary string // empty: not listed in the usage text
	run     func(ctx context.Context, args []string, std streams) error
}

// streams are a command's standard streams.
type streams struct {
	in       io.Reader
	out, err *os.File
}

func commands() []command {
	return []command{
		{"demo", "start, kill and stop servers while a watch shows it (11 seconds)", demoCommand},
		{"demo-server", "", demoServerCommand},
		{"doctor", "check whether a Redis server permits what a registry needs", doctorCommand},
		{"version", "print the version", versionCommand},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once if stopping takes too long.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// run executes the subcommand that args name and returns the exit code.
func run(ctx context.Context, args []string, std streams) int {
	if len(args) == 0 {
		printUsage(std.out)
		return exitOK
	}
	name, args := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(args) == 0 {
			printUsage(std.out)
			return exitOK
		}
		name, args = args[0], []string{"-h"}
	case "-version", "--version":
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			return exitCode(c.run(ctx, args, std), name, std.err)
		}
	}
	fmt.Fprintf(std.err, "rollcall: unknown command %q; \"rollcall help\" lists them\n", name)
	return exitUsage
}

// usageError is an error in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode prints err, if any, and returns the exit code.
func exitCode(err error, name string, stderr io.Writer) int {
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "rollcall %s: %v\n", name, err)
		return exitUsage
	default:
		// Joined errors have a line each; one failure is one line.
		fmt.Fprintf(stderr, "rollcall %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", "; "))
		return exitFailed
	}
}

// parse parses flags and refuses any argument after them. Requested help goes to
// standard output, errors to standard error.
func parse(flags *flag.FlagSet, args []string, std streams) error {
	flags.SetOutput(io.Discard)
	for _, arg := range args {
		if arg == "-h" || arg == "-help" || arg == "--help" {
			flags.SetOutput(std.out)
		}
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{fmt.Errorf("%w; \"rollcall %s -h\" lists the flags", err, flags.Name())}
	}
	if flags.NArg() > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", flags.Arg(0))}
	}
	return nil
}

func printUsage(w io.Writer) {
	fmt.Fprint(w, "Rollcall is service discovery on Redis.\n\n"+
		"Usage:\n\n  rollcall <command> [flags]\n\nCommands:\n\n")
	for _, c := range commands() {
		if c.summary != "" {
			fmt.Fprintf(w, "  %-9s %s\n", c.name, c.summary)
		}
	}
	fmt.Fprint(w, "\n\"rollcall help <command>\" shows its flags.\n"+
		"Exit codes: 0 done or stopped by a signal, 1 failed, 2 wrong usage.\n")
}
