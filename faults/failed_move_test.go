package faults

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// A move to another name takes effect in Redis, but its reply is lost and it fails
// for its caller. The earlier registration stays under its old name
// (promise 1), and its owner does not report a loss (promise 5).
func TestFailedMoveLeavesTheEarlierRegistration(t *testing.T) {
	t.Parallel()
	const ttl, beat = 2 * time.Second, 300 * time.Millisecond
	s := redistest.Start(t)
	line := faultnet.New(t, s.Addr())
	cfg := config(t, s, ttl, beat)
	reader := open(t, cfg)
	cfg.RedisAddr = line.Addr()
	losses := make(chan string, 1)
	lost := func(_, id string) { losses <- id }
	cfg.Observer = &registry.Observer{Superseded: lost, Deregistered: lost}
	owner := open(t, cfg)
	register(t, owner, "old", "x")

	restored := failMove(t, line, owner)

	took := within(t, restored, beat+slack, "the earlier registration is back", func() error {
		return errors.Join(discovers(reader, "old", "x")(), discovers(reader, "new")())
	})
	figure(t, "1 failed move undone", took)
	requireReason(t, reader, "new", "x", reason{kind: registry.EventMoved, by: pidOf(ownPID), note: "old"})
	select {
	case id := <-losses:
		t.Errorf("the owner reported the loss of %q", id)
	case <-time.After(2 * beat):
	}
}

// A move to another name fails for its owner and takes effect in Redis. Watches
// of the new name show the instance until the owner reregisters under the old name,
// and are not Stale after that.
func TestFailedMoveInAWatchOfTheNewName(t *testing.T) {
	t.Parallel()
	const ttl, beat = 3 * time.Second, 500 * time.Millisecond
	s := redistest.Start(t)
	line := faultnet.New(t, s.Addr())
	cfg := config(t, s, ttl, beat)
	reader := open(t, cfg)
	cfg.RedisAddr = line.Addr()
	owner := open(t, cfg)
	register(t, owner, "old", "x")
	seen := watch(t, reader, "new")
	restored := failMove(t, line, owner)
	took := within(t, restored, beat+slack, "the earlier registration is back, and the watch current", func() error {
		return errors.Join(discovers(reader, "old", "x")(), discovers(reader, "new")(), seen.shows()())
	})
	figure(t, "failed move: watch of the new name current", took)
}

// failMove moves x to the name new, and loses the reply. It returns when the connection
// was restored.
func failMove(t testing.TB, line *faultnet.Proxy, owner registry.Registry) (restored time.Time) {
	t.Helper()
	line.Hold(faultnet.ToClient)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if owner.Register(ctx, service("new", "x")) == nil {
		t.Fatal("a registration without an answer returned nil")
	}
	line.Heal()
	return time.Now()
}
