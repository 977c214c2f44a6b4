package consulapi

import (
	"context"
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
)

// verdict is what the states of a service's checks amount to.
func (s *service) verdict(states map[string]checkState) published {
	ids := s.checks
	all := make(map[string]checkState, len(ids)+1)
	for _, id := range ids {
		all[id] = states[id]
	}
	if s.maintenance != nil {
		id := maintenanceCheck(s.id, "").ID
		ids = append(ids[:len(ids):len(ids)], id)
		all[id] = checkState{"critical", *s.maintenance}
	}
	p := published{status: worst(all)}
	for _, id := range ids {
		p.statuses += id + "=" + all[id].Status + "\n"
	}
	if len(ids) > 0 {
		p.note = encodeNote(ids, all)
	}
	return p
}

// publish makes the verdict of a service's checks its status. A verdict that could not
// be written is written later.
func (g *agent) publish(ctx context.Context, id string) error {
	done, err := g.takeTurn(ctx, id)
	if err != nil {
		g.publishLater(id)
		return err
	}
	defer done()
	s := g.find(id)
	if s == nil {
		return nil
	}
	return g.publishStatus(ctx, s)
}

// publishStatus is publish for a service whose turn the caller holds.
func (g *agent) publishStatus(ctx context.Context, s *service) error {
	p := s.verdict(g.statesOf(s))
	if p.statuses == s.published.statuses && !s.published.unknown {
		return nil // another text alone would wake every query
	}
	if err := g.api.config.Backend.SetStatus(ctx, s.info.ID, p.status, p.note); err != nil {
		s.published.unknown = true
		g.publishLater(s.id)
		return err
	}
	s.published = p
	g.noteChange()
	g.awaitShown(ctx, s)
	return nil
}

func (g *agent) publishLater(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.services[id] == nil {
		return
	}
	g.failed[id] = true
	select {
	case g.retry <- struct{}{}:
	default:
	}
}

// retryPause is between two tries to write verdicts that could not be written.
const retryPause = time.Second

// retryLoop publishes again what could not be published, until the agent closes.
func (g *agent) retryLoop() {
	for {
		select {
		case <-g.retry:
		case <-g.api.ctx.Done():
			return
		}
		if backoff.Sleep(g.api.ctx, backoff.Jitter(retryPause, 0.5)) != nil {
			return
		}
		g.mu.Lock()
		failed := g.failed
		g.failed = make(map[string]bool)
		g.mu.Unlock()
		for id := range failed {
			ctx, cancel := g.callContext()
			_ = g.publish(ctx, id) // what fails is noted again
			cancel()
		}
	}
}

// startCheck runs a check from now on. g.mu is held.
func (g *agent) startCheck(c *check) {
	g.checks[c.record.ID] = c
	if c.state.Status == "critical" {
		g.startReaper(c)
	}
	if c.ttl > 0 {
		c.deadline = time.Now().Add(c.ttl)
		c.ttlTimer = time.AfterFunc(c.ttl, func() { g.spawn(func() { g.expire(c) }) })
		return
	}
	ctx, cancel := context.WithCancel(g.api.ctx)
	c.cancel = cancel
	c.task = g.runs.Add(c.interval, func() bool { return g.runCheck(ctx, c) })
}

// endCheck ends a check. g.mu is held.
func (g *agent) endCheck(id string) {
	c := g.checks[id]
	if c == nil {
		return
	}
	delete(g.checks, id)
	c.ended = true
	for _, t := range []*time.Timer{c.ttlTimer, c.reaper} {
		if t != nil {
			t.Stop()
		}
	}
	if c.cancel != nil {
		c.cancel()
	}
	g.runs.Remove(c.task)
}

// runCheck runs a check that connects once. It reports false when that was the last time.
func (g *agent) runCheck(ctx context.Context, c *check) bool {
	probing, cancel := context.WithTimeout(ctx, c.timeout)
	state := g.prober.run(probing, c.record.Definition)
	cancel()
	if ctx.Err() != nil {
		return false
	}
	g.setState(c, state)
	call, cancel := g.callContext()
	defer cancel()
	_ = g.publish(call, c.serviceID) // what fails is written later
	return true
}

// setState takes a result into account. It reports false for a check that has ended.
func (g *agent) setState(c *check, state checkState) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.setStateLocked(c, state)
}

func (g *agent) setStateLocked(c *check, state checkState) bool {
	if c.ended {
		return false
	}
	state.Output = cut(state.Output, maxOutput)
	if state.Status != c.state.Status {
		c.since = time.Now()
		if c.reaper != nil {
			c.reaper.Stop()
			c.reaper = nil
		}
		if state.Status == "critical" {
			g.startReaper(c)
		}
	}
	c.state = state
	return true
}

// startReaper deregisters the service if the check stays critical. g.mu is held.
func (g *agent) startReaper(c *check) {
	if c.reapAfter > 0 && c.serviceID != "" {
		c.reaper = time.AfterFunc(c.reapAfter, func() { g.spawn(func() { g.reap(c) }) })
	}
}

func (g *agent) reap(c *check) {
	for {
		ctx, cancel := g.callContext()
		err := g.reapOnce(ctx, c)
		cancel()
		if err == nil || backoff.Sleep(g.api.ctx, backoff.Jitter(retryPause, 0.5)) != nil {
			return
		}
	}
}

// reapOnce deregisters a check's service, unless the check has recovered or was replaced
// before the service's turn came.
func (g *agent) reapOnce(ctx context.Context, c *check) error {
	done, err := g.takeTurn(ctx, c.serviceID)
	if err != nil {
		return err
	}
	defer done()
	g.mu.Lock()
	due := !c.ended && c.state.Status == "critical" && time.Since(c.since) >= c.reapAfter
	s := g.services[c.serviceID]
	g.mu.Unlock()
	if !due || s == nil {
		return nil
	}
	g.api.config.Logger.Warn("a service was critical for too long and is deregistered",
		"id", c.serviceID, "check", c.record.ID, "after", c.reapAfter)
	return g.end(ctx, s)
}

// expire is called when a TTL check was not updated in time.
func (g *agent) expire(c *check) {
	g.mu.Lock()
	output := ttlReason
	if c.state.Output != "" {
		output += " (last output before timeout follows): " + c.state.Output
	}
	// An update may have come after the timer fired.
	expired := c.state.Status != "critical" && !time.Now().Before(c.deadline) && g.setStateLocked(c, checkState{"critical", output})
	g.mu.Unlock()
	if !expired {
		return
	}
	ctx, cancel := g.callContext()
	defer cancel()
	_ = g.publish(ctx, c.serviceID) // what fails is written later
}

// update sets the state of a TTL check, whose time begins again. It reports false for a
// check that has ended, for example because a registration replaced it.
func (g *agent) update(ctx context.Context, c *check, state checkState) (ok bool, err error) {
	g.mu.Lock()
	if ok = g.setStateLocked(c, state); ok {
		c.deadline = time.Now().Add(c.ttl)
		c.ttlTimer.Reset(c.ttl)
	}
	g.mu.Unlock()
	if !ok {
		return false, nil
	}
	return true, g.publish(ctx, c.serviceID)
}
