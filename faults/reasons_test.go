package faults

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// reason is why an instance is gone, as an event says it.
type reason struct {
	kind registry.EventKind
	by   string        // part of Event.By
	note string        // part of Event.Note
	ttl  time.Duration // of an instance that expired
}

// expired is the reason of an instance that the process of that ID no longer renews.
func expired(pid int, ttl time.Duration) reason {
	return reason{kind: registry.EventExpired, by: pidOf(pid), ttl: ttl}
}

// pidOf is the part of a process's name that is its ID.
func pidOf(pid int) string { return fmt.Sprintf(" pid %d", pid) }

// ownPID is the ID of the test's own process.
var ownPID = os.Getpid()

// wentBecause fails unless the newest event of an instance in a service gives the
// reason. Of an expiry it checks that the last heartbeat was a TTL before.
func wentBecause(ctx context.Context, b registry.Backend, service, id string, why reason) error {
	events, err := b.Events(ctx, service)
	if err != nil {
		return err
	}
	var last registry.Event
	for _, e := range events {
		if e.ID == id {
			last = e
		}
	}
	if last.Kind != why.kind || !strings.HasSuffix(last.By, why.by) || !strings.Contains(last.Note, why.note) {
		return fmt.Errorf("the newest event of %q in %q is %+v, want %+v", id, service, last, why)
	}
	if why.kind != registry.EventExpired {
		return nil
	}
	text, _ := strings.CutPrefix(last.Note, "last heartbeat ")
	heartbeat, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || last.Time.Sub(heartbeat) != why.ttl {
		return fmt.Errorf("%q in %q expired at %s, %q, want a last heartbeat %s before", id, service, last.Time, last.Note, why.ttl)
	}
	return nil
}

// requireReason fails the test unless an instance went for the reason.
func requireReason(t testing.TB, b registry.Backend, service, id string, why reason) {
	t.Helper()
	err := retryStalled(t, shortHeartbeat, func() error { return wentBecause(contextFor(t, slack), b, service, id, why) })
	if err != nil {
		t.Error(err)
	}
}
