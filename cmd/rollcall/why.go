package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/registry"
)

// serviceEvent is an event with the name of its service.
type serviceEvent struct {
	service string
	registry.Event
}

// whyCommand says what happened to an instance or a service.
func whyCommand(std streams) *cobra.Command {
	var from connectFlags
	var service string
	var asJSON bool
	c := &cobra.Command{
		Use:     "why [ID]",
		GroupID: groupRead,
		Short:   "Say what happened to an instance, or to a service",
		Long: `Say what the backend remembers of an instance, newest first: what happened, when, by
which process and why. Of a service it remembers the last 100 changes, and removals for
10 minutes, or a day if another process than the owner removed the instance.

Without --service the ID is looked for in all services that have an instance now. With
--service and no ID the changes of the whole service are listed. Exit code 3 if nothing
is remembered.
` + backendHelp,
		Example: "  rollcall why api-1\n  rollcall why --service api\n  rollcall why --service api --json",
		Args: func(c *cobra.Command, args []string) error {
			if service != "" && len(args) == 0 {
				return nil
			}
			if service == "" && len(args) == 0 {
				return usageError{errors.New("ID or --service is missing")}
			}
			return arguments("ID")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			id := strings.Join(args, "")
			return withBackend(c.Context(), from, func(ctx context.Context, backend registry.Backend) error {
				events, err := remembered(ctx, backend, service, id)
				if err != nil {
					return err
				}
				if err := writeEvents(std, events, id, asJSON); err != nil {
					return err
				}
				if len(events) > 0 {
					return nil
				}
				if service == "" {
					return notFoundError{fmt.Errorf("nothing is remembered of %q in services that have an instance; --service looks into another", id)}
				}
				return notFoundError{fmt.Errorf("nothing is remembered of %s", cmp.Or(id, service))}
			})
		},
		ValidArgsFunction: completeIDs(&from),
	}
	from.add(c)
	c.Flags().StringVar(&service, "service", "", "`name` of the service")
	_ = c.RegisterFlagCompletionFunc("service", completeServices(&from)) // fails only for a flag that does not exist
	addJSONFlag(c, &asJSON)
	return c
}

// remembered returns the events of a service, or of all if it is "", and of an ID, or
// of all if it is "": newest first.
func remembered(ctx context.Context, backend registry.Backend, service, id string) ([]serviceEvent, error) {
	names := []string{service}
	if service == "" {
		var err error
		if names, err = backend.Services(ctx); err != nil {
			return nil, err
		}
	}
	var found []serviceEvent
	for _, name := range names {
		events, err := backend.Events(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, e := range slices.Backward(events) {
			if id == "" || e.ID == id {
				found = append(found, serviceEvent{name, e})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b serviceEvent) int { return b.Time.Compare(a.Time) })
	return found, nil
}

type eventJSON struct {
	Time    time.Time          `json:"time"`
	Service string             `json:"service"`
	ID      string             `json:"id"`
	Kind    registry.EventKind `json:"kind"`
	By      string             `json:"by"`
	Note    string             `json:"note"`
}

func writeEvents(std streams, events []serviceEvent, id string, asJSON bool) error {
	if asJSON {
		list := []eventJSON{}
		for _, e := range events {
			list = append(list, eventJSON{e.Time, e.service, e.ID, e.Kind, e.By, e.Note})
		}
		return writeJSON(std.out, list)
	}
	if len(events) == 0 {
		return nil
	}
	now := time.Now()
	if id != "" {
		last := events[0]
		if err := say(std, "%s of %s %s", id, last.service, happened(last.Event, now)); err != nil {
			return err
		}
	}
	out := table{header: []string{"TIME", "SERVICE", "ID", "WHAT"}}
	for _, e := range events {
		out.rows = append(out.rows, []cell{
			{e.Time.Local().Format(time.DateTime), styleDim}, {text: e.service}, {text: e.ID}, {happened(e.Event, now), eventStyle(e.Kind)},
		})
	}
	return out.write(std.out)
}

func eventStyle(kind registry.EventKind) string {
	switch kind {
	case registry.EventExpired:
		return styleRed
	case registry.EventDeregistered, registry.EventMoved:
		return styleYellow
	default:
		return ""
	}
}

// happened says what an event is, how long ago it was, and why.
func happened(e registry.Event, now time.Time) string {
	by, since := cmp.Or(e.By, "an unknown process"), ago(now.Sub(e.Time))
	owner := ""
	if e.Note != "" {
		owner = ", owner " + e.Note
	}
	switch e.Kind {
	case registry.EventRegistered:
		return fmt.Sprintf("registered %s by %s", since, by)
	case registry.EventReplaced:
		if e.Note == "" {
			return fmt.Sprintf("registered again %s by %s", since, by)
		}
		return fmt.Sprintf("registered again %s by %s, which replaced %s", since, by, e.Note)
	case registry.EventDeregistered:
		return fmt.Sprintf("deregistered %s by %s%s", since, by, owner)
	case registry.EventExpired:
		why := ""
		if at, err := time.Parse("last heartbeat "+time.RFC3339Nano, e.Note); err == nil {
			why = "last heartbeat " + ago(now.Sub(at)) + ", "
		}
		return fmt.Sprintf("expired %s: %sowner %s", since, why, by)
	case registry.EventMoved:
		return fmt.Sprintf("moved to service %s %s by %s", e.Note, since, by)
	case registry.EventStatus:
		status, note, _ := strings.Cut(e.Note, ": ")
		return withNote(fmt.Sprintf("set %s %s by %s", status, since, by), note)
	case registry.EventDrain:
		return withNote(fmt.Sprintf("drained %s by %s", since, by), e.Note)
	case registry.EventUndrain:
		return fmt.Sprintf("undrained %s by %s", since, by)
	default:
		return withNote(fmt.Sprintf("%s %s by %s", e.Kind, since, by), e.Note)
	}
}

func withNote(text, note string) string {
	if note == "" {
		return text
	}
	return text + ": " + note
}

// ago says how long ago something was. The backend's clock may be ahead of this
// machine's: a time in the future is 0 s ago.
func ago(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s ago", s)
	case s < 60*60:
		return fmt.Sprintf("%d min %d s ago", s/60, s%60)
	case s < 24*60*60:
		return fmt.Sprintf("%d h %d min ago", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%d d %d h ago", s/86400, s/3600%24)
	}
}
