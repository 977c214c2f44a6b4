package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootHelp = `Rollcall is service discovery on Redis. These commands register, list and change
instances of services, run a command as an instance, and serve the registry to
programs in any language.

Exit codes: 0 done, or stopped by a signal; 1 failed; 2 wrong usage; 3 not found.
"run" returns the exit code of its command.`

// Groups of the list of commands.
const (
	groupRead   = "read"
	groupChange = "change"
	groupServe  = "serve"
)

// newRootCommand returns the command "rollcall" with all subcommands, each of which
// has a file of its own.
func newRootCommand(std streams) *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   "rollcall",
		Short: "Service discovery on Redis",
		Long:  rootHelp,
		Args:  noSubcommand,
		RunE: func(c *cobra.Command, _ []string) error {
			if version {
				return writeVersion(std, false)
			}
			return c.Help()
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SuggestionsMinimumDistance = 2
	// Not by cobra's templates: they keep the linker from leaving out unused methods,
	// which nearly doubles the program.
	root.Flags().BoolVarP(&version, "version", "v", false, "print the version")
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; \"%s -h\" lists the flags", err, c.CommandPath())}
	})
	root.AddGroup(
		&cobra.Group{ID: groupRead, Title: "Commands that read:"},
		&cobra.Group{ID: groupChange, Title: "Commands that change an instance:"},
		&cobra.Group{ID: groupServe, Title: "Commands that keep a registration:"},
	)
	root.AddCommand(
		lsCommand(std), getCommand(std), watchCommand(std), whyCommand(std),
		deregisterCommand(std), drainCommand(std), undrainCommand(std), maintCommand(std),
		registerCommand(std), runCommand(std), serveCommand(std),
		demoCommand(std), demoServerCommand(std), doctorCommand(std), completionCommand(std), versionCommand(std),
	)
	root.SetHelpCommand(helpCommand(root))
	return root
}

// noSubcommand refuses arguments of the root command: they name no subcommand.
func noSubcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := `"rollcall help" lists them`
	if similar := c.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = "did you mean " + strings.Join(similar, " or ") + "?"
	}
	return usageError{fmt.Errorf("unknown command %q; %s", args[0], hint)}
}

// helpCommand replaces cobra's, which reports an unknown command as a success.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Show the help of a command",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			switch {
			case err != nil || c == root && len(rest) > 0 || c.Hidden:
				return noSubcommand(root, args)
			case len(rest) > 0:
				return usageError{fmt.Errorf("unexpected argument %q", rest[0])}
			}
			c.InitDefaultHelpFlag() // as --help does
			return c.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []cobra.Completion
			for _, c := range root.Commands() {
				if len(args) == 0 && c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// arguments accepts one argument for each name.
func arguments(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) > len(names):
			return usageError{fmt.Errorf("unexpected argument %q", args[len(names)])}
		case len(args) < len(names):
			missing := strings.Join(names[len(args):], " and ")
			return usageError{fmt.Errorf("%s is missing; usage: %s", missing, c.UseLine())}
		}
		for i, arg := range args {
			if arg == "" {
				return usageError{errors.New(names[i] + " is empty")}
			}
		}
		return nil
	}
}
