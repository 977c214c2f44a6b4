package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/registry"
)

// getCommand lists the instances of a service.
func getCommand(std streams) *cobra.Command {
	var from connectFlags
	var asJSON bool
	c := &cobra.Command{
		Use:     "get NAME",
		GroupID: groupRead,
		Short:   "List the instances of a service",
		Long: "List every live instance of a service, whatever its status, oldest first.\n" +
			"Exit code 3 if it has none.\n" + backendHelp,
		Example: "  rollcall get api\n  rollcall get api --json | jq -r '.[] | select(.status == \"passing\") | \"\\(.address):\\(.port)\"'",
		Args:    arguments("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return withBackend(c.Context(), from, func(ctx context.Context, backend registry.Backend) error {
				instances, err := backend.Instances(ctx, args[0])
				if err != nil {
					return err
				}
				if err := writeInstances(std, instances, asJSON); err != nil {
					return err
				}
				if len(instances) == 0 {
					return notFoundError{fmt.Errorf("no instances of %q", args[0])}
				}
				return nil
			})
		},
		ValidArgsFunction: completeServices(&from),
	}
	from.add(c)
	addJSONFlag(c, &asJSON)
	return c
}

func writeInstances(std streams, instances []registry.Instance, asJSON bool) error {
	if asJSON {
		list := []leasedInstanceJSON{}
		for _, i := range instances {
			list = append(list, newLeasedInstanceJSON(i))
		}
		return writeJSON(std.out, list)
	}
	if len(instances) == 0 {
		return nil
	}
	out := table{header: []string{"ID", "ADDRESS", "STATUS", "VERSION", "ZONE", "TAGS", "AGE", "EXPIRES", "NOTE"}}
	now := time.Now()
	for _, i := range instances {
		expires := "never"
		if !i.ExpiresAt.IsZero() {
			expires = "in " + duration(i.ExpiresAt.Sub(now))
		}
		out.rows = append(out.rows, []cell{
			{text: i.ID}, {text: i.HostPort()}, {string(i.Status), statusStyle(i.Status)},
			{text: orDash(i.Version)}, {text: orDash(i.Metadata[registry.MetadataZone])},
			{text: orDash(strings.Join(i.Tags, ","))},
			{text: duration(now.Sub(i.RegisteredAt))}, {text: expires}, {text: i.Note},
		})
	}
	return out.write(std.out)
}

func orDash(text string) string { return cmp.Or(text, "-") }

// duration formats a duration in its two greatest units. The backend's clock may be
// ahead of this machine's: a negative duration is 0s.
func duration(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 60*60:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*60*60:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
	}
}
