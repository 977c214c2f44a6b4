package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/registry"
)

// watchCommand prints the changes of a service until a signal.
func watchCommand(std streams) *cobra.Command {
	var from connectFlags
	var asJSON bool
	c := &cobra.Command{
		Use:     "watch NAME",
		GroupID: groupRead,
		Short:   "Print each change of a service until a signal",
		Long: `Print the instances of a service, then each change, one line each: the time, a sign
and what changed. + is a new instance, - one that is gone, ~ one that changed. ! says
that the backend is unavailable, so that the last known state is kept, or that it
is back. With --json each line is the complete state. Ends with a signal.
` + backendHelp,
		Example: "  rollcall watch api",
		Args:    arguments("NAME"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			ctx := c.Context()
			backend, err := connect(ctx, from)
			if err != nil {
				return stopped(ctx, err)
			}
			defer func() { err = errors.Join(err, backend.Close()) }()
			return watch(ctx, backend, args[0], std.out, asJSON)
		},
		ValidArgsFunction: completeServices(&from),
	}
	from.add(c)
	addJSONFlag(c, &asJSON)
	return c
}

// stopped returns nil in place of an error that the end of ctx caused.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func watch(ctx context.Context, backend registry.Backend, name string, out *os.File, asJSON bool) error {
	follow := changes{color: colored(out)}
	for snap := range backend.Watch(ctx, name) {
		if errors.Is(snap.Stale, registry.ErrInvalidService) || errors.Is(snap.Stale, registry.ErrClosed) {
			return snap.Stale
		}
		var err error
		if asJSON {
			err = writeJSON(out, newSnapshotJSON(snap))
		} else if lines := follow.lines(time.Now(), snap); len(lines) > 0 {
			_, err = fmt.Fprintln(out, strings.Join(lines, "\n"))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// changes turns the states of a watch into lines.
type changes struct {
	color bool
	began bool
	known map[string]registry.ServiceInfo
	stale bool
}

// lines returns a line for each difference between the last state and snap.
func (w *changes) lines(now time.Time, snap registry.Snapshot) []string {
	at := now.Format(time.TimeOnly)
	var lines []string
	add := func(sign, style, format string, args ...any) {
		text := printable(fmt.Sprintf(format, args...))
		lines = append(lines, at+" "+styled(sign+" "+text, style, w.color))
	}
	if stale := snap.Stale != nil; stale != w.stale {
		w.stale = stale
		if stale {
			add("!", styleYellow, "last known state: %v", snap.Stale)
		} else {
			add("!", styleYellow, "current again")
		}
	}
	present := map[string]registry.ServiceInfo{}
	for _, s := range slices.Concat(snap.Instances, snap.Others) {
		present[s.ID] = s
		before, known := w.known[s.ID]
		if !known {
			add("+", styleGreen, "%s", describe(s))
		} else if difference := differences(before, s); difference != "" {
			add("~", statusStyle(s.Status), "%s %s", s.ID, difference)
		}
	}
	for _, s := range oldestFirst(w.known) {
		if _, ok := present[s.ID]; !ok {
			add("-", styleRed, "%s %s", s.ID, s.HostPort())
		}
	}
	if !w.began && len(present) == 0 && !w.stale {
		add("=", "", "no instances of %q", snap.Service)
	}
	w.began = w.began || !w.stale
	w.known = present
	return lines
}

func oldestFirst(known map[string]registry.ServiceInfo) []registry.ServiceInfo {
	var list []registry.ServiceInfo
	for _, s := range known {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b registry.ServiceInfo) int {
		return cmp.Or(a.RegisteredAt.Compare(b.RegisteredAt), strings.Compare(a.ID, b.ID))
	})
	return list
}

// describe says what an instance is.
func describe(s registry.ServiceInfo) string {
	text := fmt.Sprintf("%s %s %s", s.ID, s.HostPort(), s.Status)
	for _, field := range []struct{ name, value string }{
		{"version", s.Version}, {"zone", s.Metadata[registry.MetadataZone]}, {"tags", strings.Join(s.Tags, ",")},
	} {
		if field.value != "" {
			text += " " + field.name + " " + field.value
		}
	}
	return text
}

// differences says what changed, or "" if nothing did that a user would see.
func differences(before, after registry.ServiceInfo) string {
	var all []string
	compare := func(name, old, now string) {
		if old != now {
			all = append(all, fmt.Sprintf("%s %s -> %s", name, orDash(old), orDash(now)))
		}
	}
	compare("status", string(before.Status), string(after.Status))
	compare("address", before.HostPort(), after.HostPort())
	compare("version", before.Version, after.Version)
	compare("tags", strings.Join(before.Tags, ","), strings.Join(after.Tags, ","))
	if !maps.Equal(before.Metadata, after.Metadata) {
		all = append(all, "metadata changed")
	}
	compare("weight", fmt.Sprint(before.Weight), fmt.Sprint(after.Weight))
	if !before.RegisteredAt.Equal(after.RegisteredAt) {
		all = append(all, "registered again")
	}
	return strings.Join(all, ", ")
}
