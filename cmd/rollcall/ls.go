package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/registry"
)

// statuses are all statuses, in the order in which they are shown.
var statuses = []registry.Status{registry.StatusPassing, registry.StatusWarning, registry.StatusCritical, registry.StatusDraining}

// lsCommand lists the services.
func lsCommand(std streams) *cobra.Command {
	var from connectFlags
	var asJSON bool
	c := &cobra.Command{
		Use:     "ls",
		GroupID: groupRead,
		Short:   "List the services, with their instances by status",
		Long:    "List the services that have an instance, and how many of each status.\n" + backendHelp,
		Example: "  rollcall ls --backend redis://localhost:6379\n  rollcall ls --json | jq -r '.[] | select(.passing == 0) | .service'",
		Args:    arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return withBackend(c.Context(), from, func(ctx context.Context, backend registry.Backend) error {
				all, err := readAll(ctx, backend)
				if err != nil {
					return err
				}
				return writeServices(std, all, asJSON)
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	from.add(c)
	addJSONFlag(c, &asJSON)
	return c
}

func writeServices(std streams, all []serviceInstances, asJSON bool) error {
	list := []serviceJSON{}
	out := table{header: []string{"SERVICE", "PASSING", "WARNING", "CRITICAL", "DRAINING"}}
	for _, service := range all {
		if len(service.instances) == 0 {
			continue
		}
		count := map[registry.Status]int{}
		for _, instance := range service.instances {
			count[instance.Status]++
		}
		row := []cell{{text: service.name}}
		for _, status := range statuses {
			style := ""
			if count[status] > 0 {
				style = statusStyle(status)
			}
			row = append(row, cell{strconv.Itoa(count[status]), style})
		}
		out.rows = append(out.rows, row)
		list = append(list, serviceJSON{
			Service:  service.name,
			Passing:  count[registry.StatusPassing],
			Warning:  count[registry.StatusWarning],
			Critical: count[registry.StatusCritical],
			Draining: count[registry.StatusDraining],
		})
	}
	if asJSON {
		return writeJSON(std.out, list)
	}
	return out.write(std.out)
}
