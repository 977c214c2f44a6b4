// Command rollcall registers, lists and watches instances of services, runs a command
// as an instance, and demonstrates Rollcall, service discovery on Redis. Run it without
// arguments for its subcommands; docs/command-line.md describes them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/registry"
)

// Exit codes. For a command that runs until a signal, the signal is a success.
// Subcommand run returns the code of the command that it ran.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
)

// streams are a command's standard streams.
type streams struct {
	in, out, err *os.File
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once if stopping takes too long.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// run executes the subcommand that args name and returns the exit code.
func run(ctx context.Context, args []string, std streams) int {
	logTo(std.err, slog.LevelError)
	redisclient.DisableClientLog() // standard error is for messages of this program
	root := newRootCommand(std)
	root.SetArgs(args)
	executed, err := root.ExecuteContextC(ctx)
	return exitCode(err, executed.CommandPath(), std.err)
}

// logTo writes the library's log lines of a level and above it to w.
func logTo(w io.Writer, level slog.Level) {
	slog.SetDefault(slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})))
}

// usageError is an error in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// notFoundError says that what the command line names does not exist.
type notFoundError struct{ error }

// exitCodeError ends the program with a code that is not its own, and without a message.
type exitCodeError int

func (e exitCodeError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// userInfo matches what a URL has between its scheme and its host.
var userInfo = regexp.MustCompile(`(\w://)[^\s"]*@`)

// exitCode prints err, if any, and returns the exit code.
func exitCode(err error, command string, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	var other exitCodeError
	if errors.As(err, &other) {
		return int(other)
	}
	fmt.Fprintf(stderr, "%s: %s\n", command, oneLine(err.Error()))
	var usage usageError
	var notFound notFoundError
	switch {
	case errors.As(err, &usage), errors.Is(err, registry.ErrInvalidConfig), errors.Is(err, registry.ErrInvalidService):
		return exitUsage
	case errors.As(err, &notFound), errors.Is(err, registry.ErrNotFound):
		return exitNotFound
	default:
		return exitFailed
	}
}

// oneLine makes a message fit for a line of a terminal or a log. Joined errors have
// a line each, and an argument in the wrong place may be a URL with a password.
func oneLine(message string) string {
	return userInfo.ReplaceAllString(printable(strings.ReplaceAll(message, "\n", "; ")), "$1…@")
}
