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
	// patience is how long a step may take that should take a moment.
	patience = 5 * time.Second
	// longestTTL is the longest lease whose end the demo waits for.
	longestTTL = 2500 * time.Millisecond
)

// The instances: two stay, one is killed, one leaves, one comes later.
const (
	stayer   = "hello-1"
	victim   = "hello-2"
	leaver   = "hello-3"
	newcomer = "hello-4"
)

// play tells the story. It returns when it is told, when ctx ends, or when a
// step didn't come true; what it started in the background has ended then.
func play(ctx context.Context, t target, watcher registry.Watcher, servers fleet, b *board) error {
	background, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()

	s := &story{ctx: ctx, target: t, servers: servers, board: b, started: map[string]server{}}
	b.say("", "", "Three HTTP servers register as %q on %s.", service, t.name)
	if !t.local {
		b.say(kindNote, "", "namespace %s, a lease lasts %v", t.namespace, t.ttl)
	}
	running.Go(func() { follow(background, watcher, b) })
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

// story is the state of a telling.
type story struct {
	ctx     context.Context
	target  target
	servers fleet
	board   *board
	started map[string]server
}

func (s *story) begin() error {
	if err := s.start(stayer, victim, leaver); err != nil {
		return err
	}
	return s.look()
}

// kill kills a server. On Redis its lease runs out; memory has no leases.
func (s *story) kill() error {
	s.board.say("", "", "%s is killed: it has no time to tell the registry.", victim)
	if s.target.local {
		s.board.end(kindKill, victim, "its listener and connections are closed")
	} else {
		s.board.end(kindKill, victim, "SIGKILL")
	}
	s.started[victim].kill()
	failing := func(r row) bool { return r.failed > 0 || r.state == stateExpired }
	if err := s.board.await(s.ctx, patience, victim, "called in vain", failing); err != nil {
		return err
	}
	switch {
	case s.target.local:
		s.board.say(kindNote, victim, "still listed: memory has no TTL, so calls to it go on failing")
	case s.target.ttl > longestTTL:
		s.board.say(kindNote, victim, "listed until its TTL of %v runs out, which this demo does not wait for", s.target.ttl)
	default:
		s.board.say(kindNote, victim, "listed until its TTL of %v runs out", s.target.ttl)
		expired := func(r row) bool { return r.state == stateExpired }
		if err := s.board.await(s.ctx, s.target.ttl+patience/2, victim, "dropped by the watch", expired); err != nil {
			return err
		}
	}
	return s.look()
}

func (s *story) leave() error {
	s.board.say("", "", "%s leaves politely: it deregisters first and stops after.", leaver)
	s.board.end(kindLeave, leaver, "is asked to")
	s.started[leaver].leave()
	left := func(r row) bool { return r.state == stateLeft }
	if err := s.board.await(s.ctx, patience, leaver, "dropped by the watch", left); err != nil {
		return err
	}
	if r := s.board.get(leaver); r.failed == 0 {
		s.board.say(kindLeave, leaver, "has stopped; not one of %d calls to it failed", r.answered)
	} else {
		s.board.say(kindLeave, leaver, "has stopped; %d calls to it failed", r.failed)
	}
	return s.look()
}

func (s *story) grow() error {
	s.board.say("", "", "A fourth starts.")
	if err := s.start(newcomer); err != nil {
		return err
	}
	return s.look()
}

// start starts servers and waits until the watch lists them and they answer.
func (s *story) start(ids ...string) error {
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
		if err := s.board.await(s.ctx, patience, id, "listed and answering", answers); err != nil {
			return err
		}
	}
	return nil
}

// look leaves things as they are for a while; waiting for a TTL takes its share.
func (s *story) look() error {
	scene := 2500 * time.Millisecond
	if !s.target.local {
		scene = 2 * time.Second
	}
	err := pause(s.ctx, scene)
	s.board.tally()
	return err
}

// summary says how it went and what to try next.
func (s *story) summary() string {
	answered, failed := 0, 0
	for _, id := range []string{stayer, victim, leaver, newcomer} {
		r := s.board.get(id)
		answered += r.answered
		failed += r.failed
	}
	var out strings.Builder
	fmt.Fprintf(&out, "Done in %.1fs: %d calls answered, %d failed", time.Since(s.board.start).Seconds(), answered, failed)
	if n := s.board.get(victim).failed; n == failed {
		fmt.Fprintf(&out, ",\nall of them to %s after its kill", victim)
	}
	out.WriteString(".\n\nTo try next:\n")
	if s.target.local {
		out.WriteString("  go run ./cmd/rollcall demo --backend redis://localhost:6379\n" +
			"      the same on Redis, with processes: there the killed one goes with its TTL\n")
	} else {
		fmt.Fprintf(&out, "  redis-cli --scan --pattern '*%s*'   (-h and -p as in your URL)\n"+
			"      what is left of this run in Redis; it expires by itself\n", s.target.namespace)
		out.WriteString("  run it again and restart Redis midway\n" +
			"      the watch says so, keeps the last known list, and all servers come back\n")
	}
	out.WriteString("  README.md\n      the lines that put Open, Serve and Watch into your own program\n")
	return out.String()
}
