package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

const (
	// stepTimeout is how long a step may take that normally takes milliseconds.
	stepTimeout = 5 * time.Second
	// maxAwaitedTTL is the longest TTL whose end the demo waits for.
	maxAwaitedTTL = 2500 * time.Millisecond
)

// The instances.
const (
	remainingID = "hello-1"
	killedID    = "hello-2"
	leavingID   = "hello-3"
	addedID     = "hello-4"
)

// play runs the scenario. It returns when the scenario is over, when ctx ends, or
// when a step fails. What it started in the background has ended by then.
func play(ctx context.Context, t target, watcher registry.Watcher, servers fleet, b *board) error {
	background, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()

	s := &scenario{ctx: ctx, target: t, servers: servers, board: b, started: map[string]server{}}
	b.say("", "", "Three HTTP servers register as %q on %s.", service, t.name)
	if !t.local {
		b.say(kindNote, "", "namespace %s, TTL %v", t.namespace, t.ttl)
	}
	running.Go(func() { watchService(background, watcher, b) })
	running.Go(func() { callInTurn(background, b) })
	for _, step := range []func() error{s.begin, s.kill, s.leave, s.grow} {
		if err := step(); err != nil {
			return err
		}
	}
	stop()
	running.Wait()
	b.finish(s.summary())
	return nil
}

// scenario is the state of one run.
type scenario struct {
	ctx     context.Context
	target  target
	servers fleet
	board   *board
	started map[string]server
}

func (s *scenario) begin() error {
	if err := s.start(remainingID, killedID, leavingID); err != nil {
		return err
	}
	return s.observe()
}

// kill kills a server. On Redis its lease ends after the TTL; memory has no leases.
func (s *scenario) kill() error {
	s.board.say("", "", "%s is killed: it cannot deregister.", killedID)
	if s.target.local {
		s.board.end(kindKill, killedID, "its listener and connections are closed")
	} else {
		s.board.end(kindKill, killedID, "SIGKILL")
	}
	s.started[killedID].kill()
	failing := func(r row) bool { return r.failed > 0 || r.state == stateExpired }
	if err := s.board.await(s.ctx, stepTimeout, killedID, "called without success", failing); err != nil {
		return err
	}
	switch {
	case s.target.local:
		s.board.say(kindNote, killedID, "still listed: memory has no TTL, so calls to it keep failing")
	case s.target.ttl > maxAwaitedTTL:
		s.board.say(kindNote, killedID, "listed until its TTL of %v is over, which this demo does not wait for", s.target.ttl)
	default:
		s.board.say(kindNote, killedID, "listed until its TTL of %v is over", s.target.ttl)
		expired := func(r row) bool { return r.state == stateExpired }
		if err := s.board.await(s.ctx, s.target.ttl+stepTimeout/2, killedID, "dropped by the watch", expired); err != nil {
			return err
		}
	}
	return s.observe()
}

func (s *scenario) leave() error {
	s.board.say("", "", "%s stops in order: it deregisters first, then stops its server.", leavingID)
	s.board.end(kindLeave, leavingID, "asked to stop")
	s.started[leavingID].leave()
	left := func(r row) bool { return r.state == stateLeft }
	if err := s.board.await(s.ctx, stepTimeout, leavingID, "dropped by the watch", left); err != nil {
		return err
	}
	if r := s.board.get(leavingID); r.failed == 0 {
		s.board.say(kindLeave, leavingID, "has stopped; none of %d calls to it failed", r.answered)
	} else {
		s.board.say(kindLeave, leavingID, "has stopped; %d calls to it failed", r.failed)
	}
	return s.observe()
}

func (s *scenario) grow() error {
	s.board.say("", "", "A fourth server starts.")
	if err := s.start(addedID); err != nil {
		return err
	}
	return s.observe()
}

// start starts servers and waits until the watch lists them and they answer.
func (s *scenario) start(ids ...string) error {
	for _, id := range ids {
		s.board.expect(id)
		server, what, err := s.servers.start(id)
		if err != nil {
			return err
		}
		s.started[id] = server
		s.board.say(kindStart, id, "%s", what)
	}
	for _, id := range ids {
		answers := func(r row) bool { return r.state == stateListed && r.answered > 0 }
		if err := s.board.await(s.ctx, stepTimeout, id, "listed and answering", answers); err != nil {
			return err
		}
	}
	return nil
}

// observe lets the servers run for a while before the next step. On Redis it is
// shorter, because the scenario also waits for a TTL.
func (s *scenario) observe() error {
	scene := 2500 * time.Millisecond
	if !s.target.local {
		scene = 2 * time.Second
	}
	err := pause(s.ctx, scene)
	s.board.tally()
	return err
}

// summary returns the result and what to try next.
func (s *scenario) summary() string {
	answered, failed := 0, 0
	for _, id := range []string{remainingID, killedID, leavingID, addedID} {
		r := s.board.get(id)
		answered += r.answered
		failed += r.failed
	}
	var out strings.Builder
	fmt.Fprintf(&out, "Done in %.1fs: %d calls answered, %d failed", time.Since(s.board.start).Seconds(), answered, failed)
	if n := s.board.get(killedID).failed; n == failed {
		fmt.Fprintf(&out, ",\nall of them to %s after its kill", killedID)
	}
	out.WriteString(".\n\nTo try next:\n")
	if s.target.local {
		out.WriteString("  go run ./cmd/rollcall demo --backend redis://localhost:6379\n" +
			"      the same on Redis, with processes: the killed one is dropped after its TTL\n")
	} else {
		fmt.Fprintf(&out, "  redis-cli --scan --pattern '*%s*'   (-h and -p as in your URL)\n"+
			"      the keys of this run in Redis; they expire\n", s.target.namespace)
		out.WriteString("  run it again and restart Redis midway\n" +
			"      the watch becomes stale, keeps the last known list, and all servers come back\n")
	}
	out.WriteString("  README.md\n      how to use Open, Serve and Watch in your program\n")
	return out.String()
}
