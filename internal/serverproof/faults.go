package serverproof

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// rounds is how often a short fault is caused.
const rounds = 3

// outage is longer than the TTL.
const outage = drillTTL + 500*time.Millisecond

// cast is what most faults need: an owner of two instances, another of one, and a
// process that watches all three.
type cast struct {
	a, b, reader *process
	web          *watch
}

var everyone = []string{"a1", "a2", "b1"}

func (s *scene) cast(ctx context.Context) (*cast, error) {
	var c cast
	var err error
	if c.a, err = s.owner(ctx, "a1", 1); err != nil {
		return nil, err
	}
	if err = c.a.register(ctx, "a2", 2); err != nil {
		return nil, err
	}
	if c.b, err = s.owner(ctx, "b1", 3); err != nil {
		return nil, err
	}
	if c.reader, err = s.open(ctx); err != nil {
		return nil, err
	}
	c.web = c.reader.watch(ctx)
	if _, err = within(ctx, time.Now(), patience, c.web.shows(everyone...)); err != nil {
		c.web.stop()
		return nil, fmt.Errorf("at the start: %w", err)
	}
	return &c, nil
}

// back notes how long it takes until all are listed, and whether the watch kept them.
func (c *cast) back(ctx context.Context, out *rows, fault string, from time.Time) {
	took, err := within(ctx, from, promised, c.reader.lists(ctx, everyone...))
	_, seen := within(ctx, from, 2*promised, c.web.shows(everyone...))
	out.note(fault, thenAll, afterHeartbeat, took, errors.Join(err, seen, c.web.kept(everyone...)))
}

func cutRepeatedly(ctx context.Context, s *scene, out *rows) error {
	c, err := s.cast(ctx)
	if err != nil {
		return err
	}
	defer c.web.stop()
	for range rounds {
		for _, p := range s.all {
			p.line.cut()
		}
		if err := c.b.register(ctx, "new", 4); err != nil {
			out.note(faultCut, thenChange, afterHeartbeat, 0, err)
			continue
		}
		c.reader.line.cut()
		took, err := within(ctx, time.Now(), promised, c.web.shows("new"))
		out.note(faultCut, thenChange, afterHeartbeat, took, err)
		if err := c.b.Deregister(ctx, "new"); err != nil {
			out.note(faultCut, thenChange, afterHeartbeat, 0, err)
			continue
		}
		took, err = within(ctx, time.Now(), promised, c.web.hides("new"))
		out.note(faultCut, thenChange, afterHeartbeat, took, errors.Join(err, c.web.kept(everyone...)))
	}
	return nil
}

func loseMemory(ctx context.Context, s *scene, out *rows) error {
	c, err := s.cast(ctx)
	if err != nil {
		return err
	}
	defer c.web.stop()
	for range rounds {
		s.forget(ctx)
		c.back(ctx, out, faultForget, time.Now())
	}
	return nil
}

func holdReplies(ctx context.Context, s *scene, out *rows) error {
	return interrupt(ctx, s, out, faultHold, (*line).hold)
}

func refuseConnections(ctx context.Context, s *scene, out *rows) error {
	return interrupt(ctx, s, out, faultRefuse, (*line).refuse)
}

// interrupt breaks all lines for as long as an outage.
func interrupt(ctx context.Context, s *scene, out *rows, fault string, breakLine func(*line)) error {
	c, err := s.cast(ctx)
	if err != nil {
		return err
	}
	defer c.web.stop()
	began := time.Now()
	for _, p := range s.all {
		breakLine(p.line)
	}
	took, err := within(ctx, began, promised, c.web.isStale)
	out.note(fault, thenStale, afterHeartbeat, took, err)
	pause(ctx, outage-time.Since(began))
	for _, p := range s.all {
		p.line.heal()
	}
	c.back(ctx, out, fault, time.Now())
	return nil
}

// killOwner closes an owner, which deregisters nothing: its instance expires.
func killOwner(ctx context.Context, s *scene, out *rows) error {
	c, err := s.cast(ctx)
	if err != nil {
		return err
	}
	defer c.web.stop()
	if err := c.b.Close(); err != nil {
		return err
	}
	// The lease begins when the server runs the heartbeat, so not before it was sent.
	end := time.Unix(0, c.b.lastBeat.Load()).Add(drillTTL)
	took, err := within(ctx, end, time.Second, c.reader.lacks(ctx, "b1"))
	out.note(faultKilled, thenDiscover, afterSecond, took, err)
	took, err = within(ctx, end, time.Second, c.web.hides("b1"))
	out.note(faultKilled, thenWatch, afterSecond, took, errors.Join(err, c.web.kept("a1", "a2")))
	return nil
}

func stallOwner(ctx context.Context, s *scene, out *rows) error {
	c, err := s.cast(ctx)
	if err != nil {
		return err
	}
	defer c.web.stop()
	c.b.line.hold()
	pause(ctx, outage)
	c.b.line.heal()
	took, err := within(ctx, time.Now(), promised, c.reader.lists(ctx, everyone...))
	out.note(faultStalled, thenBack, afterHeartbeat, took, err)
	return nil
}

// registerTwice registers an ID of one owner by another, after the server forgot it.
func registerTwice(ctx context.Context, s *scene, out *rows) error {
	c, err := s.cast(ctx)
	if err != nil {
		return err
	}
	defer c.web.stop()
	const port = 99
	s.forget(ctx)
	if err := c.b.register(ctx, "a1", port); err != nil {
		return err
	}
	// Until the earlier owner has learned of it, its heartbeat may bring its own back.
	from := time.Now()
	var wrong time.Duration // since from, until when the other was listed
	for time.Since(from) < promised && ctx.Err() == nil {
		if err = c.reader.hasPort(ctx, "a1", port); err != nil {
			wrong = time.Since(from)
		}
		pause(ctx, pollInterval)
	}
	took, late := within(ctx, from, promised+time.Second, func() error { return c.reader.hasPort(ctx, "a1", port) })
	if late == nil {
		took = wrong
	}
	out.note(faultTwice, thenNewer, afterHeartbeat, took, late)
	return nil
}

// hasPort returns an error unless Discover lists an ID with a port.
func (p *process) hasPort(ctx context.Context, id string, port int) error {
	list, err := p.Discover(ctx, service)
	if err != nil {
		return err
	}
	if got, _ := find(list, id); got.Port != port {
		return fmt.Errorf("%s is listed with port %d, the newer registration has %d", id, got.Port, port)
	}
	return nil
}

func muteServer(ctx context.Context, s *scene, out *rows) error {
	c, err := s.cast(ctx)
	if err != nil {
		return err
	}
	defer c.web.stop()
	c.reader.line.hold()
	for range rounds {
		call, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		end, _ := call.Deadline()
		_, err := c.reader.Discover(call, service)
		took := time.Since(end)
		cancel()
		switch {
		case err == nil:
			err = errors.New("a call of Discover succeeded although the server did not answer")
		case took > 100*time.Millisecond:
			err = fmt.Errorf("took %v, promised are 0.1 s", took.Round(time.Millisecond))
		default:
			err = nil
		}
		out.note(faultMute, thenEnds, atOnce, took, err)
	}
	return nil
}
