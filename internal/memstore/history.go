package memstore

import (
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	// lastEvents is how many events of a service are kept, however old.
	lastEvents = 128
	// For how long events are kept however many follow. Any event keeps the history of a
	// service without instances for eventTime.
	eventTime         = 10 * time.Minute
	removalTime       = 10 * time.Minute
	othersRemovalTime = 24 * time.Hour
)

// history is what is remembered of changes. Its user holds a lock.
type history struct {
	services map[string]*serviceHistory
	sweepAt  int // the number of services at which ended ones are looked for
}

type serviceHistory struct {
	events []keptEvent // oldest first
	until  time.Time   // when the last of them need no longer be kept
}

type keptEvent struct {
	store.Event
	until time.Time // zero: it is one of the last only
}

// add adds an event, of now unless it has a time.
func (h *history) add(service string, e store.Event, at int64, keepFor time.Duration) {
	now := time.UnixMicro(at)
	if e.Time == 0 {
		e.Time = at
	}
	s := h.services[service]
	if s == nil {
		h.sweep(now)
		s = new(serviceHistory)
		h.services[service] = s
	}
	kept := keptEvent{Event: e}
	switch e.Kind {
	case store.EventDeregistered, store.EventMoved, store.EventExpired:
		kept.until = now.Add(keepFor)
	}
	if until := now.Add(keepFor); until.After(s.until) {
		s.until = until
	}
	s.events = append(s.events, kept)
	if len(s.events) >= 2*lastEvents && len(s.events)%lastEvents == 0 {
		s.events = slices.Clip(slices.Clone(s.pruned(now)))
	}
}

// pruned returns the events without those that need not be kept.
func (s *serviceHistory) pruned(now time.Time) []keptEvent {
	var out []keptEvent
	for i, e := range s.events {
		if len(s.events)-i <= lastEvents || e.until.After(now) {
			out = append(out, e)
		}
	}
	return out
}

// sweep forgets services whose events need no longer be kept, once there are twice as
// many services as after the last time.
func (h *history) sweep(now time.Time) {
	if len(h.services) < max(h.sweepAt, 64) {
		return
	}
	for name, s := range h.services {
		if s.until.Before(now) {
			delete(h.services, name)
		}
	}
	h.sweepAt = 2 * len(h.services)
}

// eventsOf returns the events of a service, oldest first.
func (h *history) eventsOf(service string, now int64) []store.Event {
	out := []store.Event{}
	if s := h.services[service]; s != nil {
		for _, e := range s.pruned(time.UnixMicro(now)) {
			out = append(out, e.Event)
		}
	}
	return out
}
