package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/cmd/internal/supervise"
	"github.com/rollcall-sd/rollcall/registry"
)

const runHelp = `Start a command, register it as an instance when its port answers, and keep the
registration. SIGTERM and Ctrl-C drain and deregister the instance first and then go to
the command; a second one ends the waiting for watchers. Other signals go to the command
at once. When the command ends by itself, the instance is deregistered at once. The exit
code is the command's, 128 and the signal's number if a signal ended it.

--port 0 picks a free port. {port} in the arguments becomes the port, and so does $PORT.
The command also runs while the backend is unavailable, and is registered afterwards. It
is stopped if its port has not answered within --start-timeout, or if its registration
is lost to a newer owner or deregistered elsewhere; the exit code is then 1.

With --check the command is probed, and is critical until the first probe has passed.
`

// runCommand runs a command as an instance.
func runCommand(std streams) *cobra.Command {
	var to connectFlags
	var describe serviceFlags
	var startTimeout, stopTimeout time.Duration
	c := &cobra.Command{
		Use:                   "run --name NAME --port PORT [flags] -- COMMAND [ARGUMENT…]",
		GroupID:               groupServe,
		Short:                 "Run a command as an instance",
		Long:                  runHelp + backendHelp,
		Example:               "  rollcall run --name api --port 8080 --check /health -- ./server\n  rollcall run --name api --port 0 -- ./server --listen :{port}",
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("the command to run is missing: put it behind --")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			s, err := describe.service()
			switch {
			case err != nil:
				return err
			case !c.Flags().Changed("port"):
				return usageError{errors.New("--port is missing; 0 picks a free one")}
			case startTimeout <= 0 || stopTimeout <= 0:
				return usageError{errors.New("--start-timeout and --stop-timeout must be greater than 0")}
			}
			if err := describe.validate(c.Context(), s); err != nil {
				return err
			}
			logTo(std.err, slog.LevelWarn)
			signals := make(chan os.Signal, 16)
			defer supervise.Notify(signals)()
			code, err := supervise.Run(c.Context(), supervise.Options{
				Connect: func(ctx context.Context) (registry.Backend, error) {
					backend, err := connect(ctx, to)
					if err != nil {
						return nil, err
					}
					return describe.probed(backend)
				},
				Service:      s,
				Command:      args,
				StartTimeout: startTimeout,
				StopTimeout:  stopTimeout,
				Signals:      signals,
				Log: func(format string, args ...any) {
					fmt.Fprintln(std.err, c.CommandPath()+": "+oneLine(fmt.Sprintf(format, args...)))
				},
				In: std.in, Out: std.out, Err: std.err,
			})
			if err == nil && code != exitOK {
				return exitCodeError(code)
			}
			return err
		},
	}
	to.add(c)
	describe.add(c)
	c.Flags().DurationVar(&startTimeout, "start-timeout", time.Minute, "how long the port may take to answer")
	c.Flags().DurationVar(&stopTimeout, "stop-timeout", 30*time.Second, "how long the command may take to stop before it is killed")
	c.Flags().SetInterspersed(false) // flags behind the command are the command's
	return c
}
