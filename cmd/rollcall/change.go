package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/registry"
)

// deregisterCommand removes an instance.
func deregisterCommand(std streams) *cobra.Command {
	var from connectFlags
	c := &cobra.Command{
		Use:     "deregister ID",
		GroupID: groupChange,
		Short:   "Remove an instance",
		Long: `Remove an instance by its ID, whichever process registered it. Its owner stops its
heartbeat at the next one; a server that runs under "rollcall run" or the library's
Serve then stops. To stop calls first, use drain. Exit code 3 if no instance has the ID.
` + backendHelp,
		Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return withBackend(c.Context(), from, func(ctx context.Context, backend registry.Backend) error {
				instance, missing := find(ctx, backend, args[0])
				// Also if it was not found: it may register just now.
				if err := backend.Deregister(ctx, args[0]); err != nil {
					return err
				}
				if missing != nil {
					return missing
				}
				return say(std, "deregistered %s of %s at %s", instance.ID, instance.Name, instance.HostPort())
			})
		},
		ValidArgsFunction: completeIDs(&from),
	}
	from.add(c)
	return c
}

// undrainCommand ends a drain.
func undrainCommand(std streams) *cobra.Command {
	var from connectFlags
	c := &cobra.Command{
		Use:     "undrain ID",
		GroupID: groupChange,
		Short:   "End a drain",
		Long: `End a drain: the instance's status is its health again. A "rollcall drain" that waits
for it then fails. Exit code 3 if no instance has the ID.
` + backendHelp,
		Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return withBackend(c.Context(), from, func(ctx context.Context, backend registry.Backend) error {
				if err := backend.Undrain(ctx, args[0]); err != nil {
					return err
				}
				return say(std, "%s no longer drains", args[0])
			})
		},
		ValidArgsFunction: completeIDs(&from),
	}
	from.add(c)
	return c
}

// maintCommand begins or ends maintenance of an instance.
func maintCommand(std streams) *cobra.Command {
	var from connectFlags
	var reason string
	c := &cobra.Command{
		Use:     "maint ID on|off",
		GroupID: groupChange,
		Short:   "Set an instance critical by hand, or passing again",
		Long: `"on" sets the instance's health to critical, with the note "maintenance", or
"maintenance: REASON". "off" sets it to passing. Both set what the library's
SetStatus sets and return at once; the note shows in "rollcall get".

Health is one fact that any process may set. If the instance's own process probes it, its next
verdict that differs from the last replaces maintenance. "rollcall drain" is
separate from health: no probe ends it, and it waits for the watching processes.
Exit code 3 if no instance has the ID.
` + backendHelp,
		Example: "  rollcall maint api-1 on --reason \"new disk\"\n  rollcall maint api-1 off",
		Args: func(c *cobra.Command, args []string) error {
			if err := arguments("ID", "on|off")(c, args); err != nil {
				return err
			}
			if args[1] != "on" && args[1] != "off" {
				return usageError{fmt.Errorf("%q must be on or off", args[1])}
			}
			if args[1] == "off" && reason != "" {
				return usageError{fmt.Errorf("--reason is for on")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			status, note := registry.StatusPassing, ""
			if args[1] == "on" {
				status, note = registry.StatusCritical, "maintenance"
				if reason != "" {
					note += ": " + reason
				}
			}
			return withBackend(c.Context(), from, func(ctx context.Context, backend registry.Backend) error {
				if err := backend.SetStatus(ctx, args[0], status, note); err != nil {
					return err
				}
				return say(std, "maintenance of %s is %s", args[0], args[1])
			})
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, begin string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []cobra.Completion{"on", "off"}, cobra.ShellCompDirectiveNoFileComp
			}
			return completeIDs(&from)(c, args, begin)
		},
	}
	from.add(c)
	c.Flags().StringVar(&reason, "reason", "", "why, for the note")
	return c
}

// say prints one line on standard output.
func say(std streams, format string, args ...any) error {
	_, err := fmt.Fprintln(std.out, printable(fmt.Sprintf(format, args...)))
	return err
}
