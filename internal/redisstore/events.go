package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Of how many changes a service has log entries, and of how many events: as in common.lua.
const (
	logLength    = 128
	eventsLength = 100
)

// Events implements store.Store. It is retried until ctx ends or for defaultCallTimeout.
func (s *Store) Events(ctx context.Context, service string) ([]store.Event, error) {
	return inSlotMode(s, func() ([]store.Event, error) { return s.events(ctx, service) })
}

func (s *Store) events(ctx context.Context, service string) ([]store.Event, error) {
	mode := "collect"
	if s.writable.neverPermitted() {
		mode = "look"
	}
	tryUntil := deadlineOf(ctx)
	for try := 0; ; try++ {
		c := &call{script: eventsScript, keys: s.keys.ofService(service), args: []any{s.cfg.Owner, s.nextSeq(), service, mode}}
		if !s.oneSlot() {
			c.keys = append(c.keys, s.keys.catalog)
		}
		err := s.callAndWait(ctx, c)
		if err == nil {
			s.noteTime(service, c.reply)
			return parseEvents(service, c.reply)
		}
		if !errors.Is(err, store.ErrUnavailable) || !retryable(err) || !s.pauseBeforeRetry(ctx, tryUntil, try) {
			return nil, err
		}
	}
}

// numberedEvents are the events of one change. The log's number of a change is unknown
// if a process of an older version made it.
type numberedEvents struct {
	number int64
	events []store.Event
}

// parseEvents parses the reply of the events script.
func parseEvents(service string, reply []any) ([]store.Event, error) {
	if text(reply, 1) == "" {
		return []store.Event{}, nil
	}
	log, ok1 := element(reply, 2)
	logged, ok2 := element(reply, 3)
	ended, ok3 := element(reply, 4)
	values, ok4 := element(reply, 5)
	if !ok1 || !ok2 || !ok3 || !ok4 || len(log) != logLength || len(logged) != eventsLength || len(ended) != 2*len(values) {
		return nil, unavailable(errReply)
	}
	changes := make(map[int64]numberedEvents)
	last, _, _ := strings.Cut(text(reply, 1), ".")
	newest, _ := strconv.ParseInt(last, 10, 64)
	for i := range log {
		if c, ok := parseLogEntry(text(log, i), logged); ok && c.number > newest-eventsLength {
			changes[c.number] = c
		}
	}
	recorded := make(map[endedID]bool) // tombstones of whose end there is an event
	type tombstoneEnd struct {
		endedID
		value string
	}
	var tombstones []tombstoneEnd
	for i := range values {
		member, ends, value := text(ended, 2*i), parseScore(text(ended, 2*i+1)), text(values, i)
		change, isEvent := strings.CutPrefix(member, "\n")
		if !isEvent {
			tombstones = append(tombstones, tombstoneEnd{endedID{member, ends}, value})
			continue
		}
		number, err := strconv.ParseInt(change, 10, 64)
		id, what, ok := strings.Cut(value, "\n")
		if err != nil || !ok {
			continue
		}
		recorded[endedID{id, ends}] = true
		if _, known := changes[number]; !known {
			changes[number] = numberedEvents{number, parseEventTexts(id, what)}
		}
	}
	sorted := make([]numberedEvents, 0, len(changes))
	for _, c := range changes {
		sorted = append(sorted, c)
	}
	slices.SortFunc(sorted, func(a, b numberedEvents) int { return int(a.number - b.number) })
	out := []store.Event{}
	for _, c := range sorted {
		for _, e := range c.events {
			e.By, e.Note = fullName(e.By, service), fullName(e.Note, service)
			out = append(out, e)
		}
	}
	for _, t := range tombstones {
		if e, ok := eventOfTombstone(t.id, t.value, t.ends); ok && !recorded[t.endedID] {
			at := slices.IndexFunc(out, func(o store.Event) bool { return o.Time > e.Time })
			if at < 0 {
				at = len(out)
			}
			out = slices.Insert(out, at, e)
		}
	}
	return out, nil
}

// endedID is an ID and the score of its tombstone.
type endedID struct {
	id   string
	ends int64
}

// parseLogEntry parses an entry of the log, revision and ID, and the events of its
// change. It returns false if they are not there, or those of an earlier change: then a
// process of an older version wrote the entry.
func parseLogEntry(entry string, events []any) (numberedEvents, bool) {
	rev, id, ok := strings.Cut(entry, " ")
	number, _, _ := strings.Cut(rev, ".")
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || n < 0 {
		return numberedEvents{}, false
	}
	what, ok := strings.CutPrefix(text(events, int(n%eventsLength)), fmt.Sprintf("%03d", n/eventsLength%1000))
	if !ok {
		return numberedEvents{}, false
	}
	return numberedEvents{n, parseEventTexts(id, what)}, true
}

// eventKinds are the letters by which kinds are stored.
var eventKinds = map[byte]store.EventKind{
	'n': store.EventRegistered,
	'r': store.EventReplaced,
	'd': store.EventDeregistered,
	'x': store.EventExpired,
	'm': store.EventMoved,
	's': store.EventStatus,
	'o': store.EventDrain,
	'u': store.EventUndrain,
}

// eventLetter returns the letter of a kind, or "-".
func eventLetter(kind store.EventKind) string {
	for letter, k := range eventKinds {
		if k == kind {
			return string(letter)
		}
	}
	return "-"
}

// parseEventTexts parses the events of one change, each a letter, a time, a name and a
// note. It omits those of a kind that this version does not know.
func parseEventTexts(id, all string) []store.Event {
	var out []store.Event
	for what := range strings.SplitSeq(all, "\n") {
		parts := strings.Split(what, "\t")
		if len(parts) != 3 || parts[0] == "" {
			continue
		}
		kind, ok := eventKinds[what[0]]
		at, err := strconv.ParseInt(parts[0][1:], 10, 64)
		if !ok || err != nil {
			continue
		}
		e := store.Event{Time: at, ID: id, Kind: kind, By: parts[1], Note: parts[2]}
		if kind == store.EventExpired {
			e.LastHeartbeat, e.Note = parseScore(parts[2]), ""
		}
		out = append(out, e)
	}
	return out
}

// The name of every owner is stored, so the parts that most names have are shortened: to
// control characters, which no name has. The second stands for the service, after which
// programs and hosts are often called.
const (
	storedPID     = "\x01"
	storedService = "\x02"
)

// storedName returns a name as it is stored in a service; "" for any service.
func storedName(name, service string) string {
	name = strings.Replace(name, " pid ", storedPID, 1)
	if len(service) > 1 {
		name = strings.ReplaceAll(name, service, storedService)
	}
	return name
}

func fullName(stored, service string) string {
	if !strings.ContainsAny(stored, storedPID+storedService) {
		return stored
	}
	return strings.NewReplacer(storedPID, " pid ", storedService, service).Replace(stored)
}

// How long tombstones are kept, as in common.lua.
const (
	tombstoneTime       = 10 * time.Minute
	othersTombstoneTime = 24 * time.Hour
)

// eventOfTombstone returns what a tombstone says by itself. Its score is minus its end.
func eventOfTombstone(id, value string, score int64) (store.Event, bool) {
	t, ok := parseTombstone(id, value)
	kinds := map[store.Reason]store.EventKind{
		store.ReasonDeregistered: store.EventDeregistered, store.ReasonExpired: store.EventExpired, store.ReasonMoved: store.EventMoved,
	}
	kind, known := kinds[t.Reason]
	if !ok || !known {
		return store.Event{}, false
	}
	kept := tombstoneTime
	if strings.HasSuffix(value, ",1]") {
		kept = othersTombstoneTime
	}
	return store.Event{Time: -score - kept.Microseconds(), ID: id, Kind: kind}, true
}
