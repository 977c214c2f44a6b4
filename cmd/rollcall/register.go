package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/registry"
)

// leaveTimeout bounds leaving: half of it, or 5 s if that is less, for the watching processes.
const leaveTimeout = 10 * time.Second

// registerCommand registers an instance and keeps the registration.
func registerCommand(std streams) *cobra.Command {
	var to connectFlags
	var describe serviceFlags
	var once, asJSON bool
	c := &cobra.Command{
		Use:                   "register --name NAME --port PORT [flags]",
		GroupID:               groupServe,
		DisableFlagsInUseLine: true,
		Short:                 "Register an instance and keep it registered until a signal",
		Long: `Register an instance, print its ID, and keep it registered. SIGTERM and Ctrl-C drain
and deregister it and end the command with exit code 0. If a newer owner registers the
ID, or the instance is deregistered elsewhere, the exit code is 1.

With --once the command returns as soon as the instance is registered. No process sends
heartbeats then: the instance expires after the TTL, which the backend's URL sets.

With --check this process probes the instance and sets its status. It is critical until
the first probe has passed.
` + backendHelp,
		Example: "  rollcall register --name db --address 10.0.0.7 --port 5432 --check tcp: --tag primary",
		Args:    arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := describe.service()
			switch {
			case err != nil:
				return err
			case s.Port == 0:
				return usageError{errors.New("--port is missing")}
			case once && s.HealthEndpoint != "":
				return usageError{errors.New("--check needs a process that probes: leave out --once")}
			}
			if err := describe.validate(c.Context(), s); err != nil {
				return err
			}
			if s.Address == "" {
				if s.Address, _, err = registry.AdvertiseAddr(&net.TCPAddr{Port: s.Port}); err != nil {
					return err
				}
			}
			if once {
				return registerOnce(c.Context(), std, to, s, asJSON)
			}
			logTo(std.err, slog.LevelWarn)
			return keepRegistered(c.Context(), std, to, describe.probed, s, asJSON)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	to.add(c)
	describe.add(c)
	c.Flags().BoolVar(&once, "once", false, "return at once; the instance expires after the TTL")
	addJSONFlag(c, &asJSON)
	return c
}

func registerOnce(ctx context.Context, std streams, to connectFlags, s registry.ServiceInfo, asJSON bool) error {
	return withBackend(ctx, to, func(ctx context.Context, backend registry.Backend) error {
		ctx, err := registry.AssignID(ctx, &s)
		if err != nil {
			return err
		}
		if err := backend.Register(ctx, s); err != nil {
			return err
		}
		return writeRegistered(ctx, std, backend, s, asJSON)
	})
}

// keepRegistered registers s through what probed makes of the backend, until ctx ends.
func keepRegistered(ctx context.Context, std streams, to connectFlags, probed func(registry.Backend) (registry.Backend, error),
	s registry.ServiceInfo, asJSON bool) (err error) {
	backend, err := connect(ctx, to)
	if err != nil {
		return stopped(ctx, err)
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	checked, err := probed(backend)
	if err != nil {
		return err
	}
	if checked != backend {
		defer func() { err = errors.Join(err, checked.Close()) }()
	}
	joining, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	membership, err := registry.Join(joining, checked, s)
	if err != nil {
		return stopped(ctx, err)
	}
	s.ID = membership.ID()
	if err := writeRegistered(joining, std, checked, s, asJSON); err != nil {
		return errors.Join(err, leaveNow(ctx, membership))
	}
	select {
	case <-membership.Lost():
		// Not %w: this is a failure, also if the reason is that the instance was not found.
		return fmt.Errorf("%v", membership.Err())
	case <-ctx.Done():
	}
	if err := leaveNow(ctx, membership); err != nil {
		return fmt.Errorf("leave: %w; the instance expires with its TTL", err)
	}
	if asJSON {
		return nil
	}
	return say(std, "deregistered %s of %s", s.ID, s.Name)
}

// leaveNow leaves although ctx has ended.
func leaveNow(ctx context.Context, membership *registry.Membership) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	return membership.Leave(ctx)
}

// writeRegistered prints a registration, as JSON with what the backend set.
func writeRegistered(ctx context.Context, std streams, backend registry.Backend, s registry.ServiceInfo, asJSON bool) error {
	if !asJSON {
		return say(std, "registered %s of %s at %s", s.ID, s.Name, s.HostPort())
	}
	instances, err := backend.Instances(ctx, s.Name)
	if err != nil {
		return err
	}
	for _, i := range instances {
		if i.ID == s.ID {
			return writeJSON(std.out, newLeasedInstanceJSON(i))
		}
	}
	return fmt.Errorf("%s of %s: %w", s.ID, s.Name, cmp.Or(ctx.Err(), errors.New("deregistered as soon as it was registered")))
}
