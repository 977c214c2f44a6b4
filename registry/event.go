package registry

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// EventKind is a kind of change of an instance.
type EventKind string

// Kinds of events. EventReplaced is a registration of an ID that had a live one in the
// same service; EventMoved is one under another service name, as the earlier service
// sees it.
const (
	EventRegistered   EventKind = EventKind(store.EventRegistered)
	EventReplaced     EventKind = EventKind(store.EventReplaced)
	EventDeregistered EventKind = EventKind(store.EventDeregistered)
	EventExpired      EventKind = EventKind(store.EventExpired)
	EventMoved        EventKind = EventKind(store.EventMoved)
	EventStatus       EventKind = EventKind(store.EventStatus)
	EventDrain        EventKind = EventKind(store.EventDrain)
	EventUndrain      EventKind = EventKind(store.EventUndrain)
)

// Event is a change of a service that the backend remembers.
type Event struct {
	// Time is when it happened by the backend's clock. For EventExpired that is the end
	// of the lease.
	Time time.Time
	ID   string // of the instance
	Kind EventKind
	// By is who did it: program, host and process ID of the registry that made the change,
	// as "api@web-7 pid 3121", or the Name in its configuration. For EventExpired it is the
	// registry that no longer renewed the instance. "" means unknown.
	By string
	// Note says more:
	//   - EventStatus: the status, followed by ": " and the note of SetStatus if it has one;
	//   - EventDrain: the note of SetStatus, if that began the drain;
	//   - EventExpired: "last heartbeat " and its time by the backend's clock, as in
	//     time.RFC3339Nano;
	//   - EventMoved: the name of the service under which the ID is now registered;
	//   - EventReplaced and EventDeregistered: who had registered the instance, in the form
	//     of By, if that was another registry and is known.
	Note string
}

// noteOfExpiry begins the note of an EventExpired.
const noteOfExpiry = "last heartbeat "

// Events implements Backend.
func (b *coreBackend) Events(ctx context.Context, serviceName string) ([]Event, error) {
	const op = "read the events of"
	if err := b.checkService(op, serviceName); err != nil {
		return nil, err
	}
	events, err := b.core.Events(ctx, serviceName)
	if err != nil {
		return nil, opError(op, serviceName, err)
	}
	out := make([]Event, len(events))
	for i, e := range events {
		out[i] = Event{Time: time.UnixMicro(e.Time).UTC(), ID: e.ID, Kind: EventKind(e.Kind), By: e.By, Note: e.Note}
		if e.Kind == store.EventExpired && e.LastHeartbeat > 0 {
			out[i].Note = noteOfExpiry + time.UnixMicro(e.LastHeartbeat).UTC().Format(time.RFC3339Nano)
		}
	}
	return out, nil
}

// statusNote is the note of an EventStatus.
func statusNote(status Status, note string) string {
	if note == "" {
		return string(status)
	}
	return string(status) + ": " + note
}

// processName is how Event.By shows this process.
func processName() string {
	program, host := "", ""
	if len(os.Args) > 0 {
		program = filepath.Base(os.Args[0])
	}
	host, _ = os.Hostname() // without one the program and the process ID are left
	// Half of the limit for each, so that the process ID is always there.
	const most = MaxNameBytes/2 - 16
	return fmt.Sprintf("%s@%s pid %d", printable(program, most), printable(host, most), os.Getpid())
}

// printable returns at most so many bytes of a text, without what textProblem refuses.
func printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}
