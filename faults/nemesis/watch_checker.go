package nemesis

import "time"

// checkWatch checks what one watch yielded.
func (c *checker) checkWatch(w *Watch) {
	client := c.clients[w.Client]
	windows := c.windows(w.Client)
	over := c.End
	if w.Stopping > 0 {
		over = w.Stopping
	}
	if client.Ended > 0 {
		over = min(over, client.Ending)
	}
	if w.Ended > 0 && w.Ended < over {
		c.violated(WatchAlive, w.Client+w.Service, "", w.Ended, "the watch of %s by %s ended by itself", w.Service, w.Client)
		over = w.Ended
	}
	if len(w.Yields) == 0 {
		if first := c.after(w.Begun, c.by(w.Begun, client.Heartbeat+second), windows, client.Heartbeat+second); first < over {
			c.violated(WatchAlive, w.Client+w.Service, "", first, "the watch of %s by %s never yielded anything", w.Service, w.Client)
		}
		return
	}
	for i, y := range w.Yields {
		until := over
		if i+1 < len(w.Yields) {
			until = w.Yields[i+1].At
		}
		if y.At > over {
			break
		}
		c.checkState(w, client, windows, y, span{y.At, min(until, over)})
		if i > 0 {
			c.checkDropped(w, w.Yields[i-1], y)
		}
	}
	c.checkStale(w, client, windows, over)
	c.checkMissing(w, client, windows, over)
	c.checkConverged(w, client, over)
}

// checkState checks that a yield shows nothing wrong while it is the newest.
func (c *checker) checkState(w *Watch, client *Client, windows []window, y Yield, shown span) {
	ids := map[string]bool{}
	for _, s := range y.Shown {
		r := c.tokens[s.Token]
		if s.Broken || r == nil || r.call.ID != s.ID || r.call.Service != w.Service || ids[s.ID] {
			c.violated(AtomicReads, s.Token, s.ID, y.At, "the watch of %s by %s shows %+v, which was not registered in this form, or is a duplicate", w.Service, w.Client, s)
			continue
		}
		ids[s.ID] = true
		if r.endLatest == never {
			continue
		}
		if limit := c.seenGone(r, client, windows); shown.to > limit {
			c.violated(r.cause, s.Token+" shown", s.ID, max(limit, shown.from), "the watch of %s by %s still shows %s, which must have ended by %v and from this watch at %v: %s",
				w.Service, w.Client, s.Token, r.endLatest, limit, r.why())
		}
	}
}

// seenGone is when a watch must no longer show a registration.
func (c *checker) seenGone(r *registration, client *Client, windows []window) Moment {
	most := max(r.gracePeriod(), client.Heartbeat+second)
	if r.cause == Gone {
		from := r.endEarliest
		if r.failed {
			from = r.call.Start
		}
		return c.after(from, r.endLatest, windows, most)
	}
	limit := c.by(r.endLatest, client.Heartbeat+second)
	for _, b := range r.outages {
		if b.from <= r.endEarliest && r.endEarliest <= b.until && min(c.leaseEnd(r, b), b.lost) <= b.until {
			// It ended in an outage, perhaps without a tombstone: it is retained until
			// its owner had the time to come back.
			limit = max(limit, c.by(b.to, most))
		}
	}
	return c.after(r.endEarliest, limit, windows, most)
}

// checkDropped checks that a yield drops only instances that have ended. An
// instance is not dropped if another registration of its ID replaces it.
func (c *checker) checkDropped(w *Watch, before, now Yield) {
	shown := map[string]bool{}
	for _, s := range now.Shown {
		shown[s.ID] = true
	}
	for _, s := range before.Shown {
		r := c.tokens[s.Token]
		if r == nil || shown[s.ID] || r.endEarliest <= now.At || touched(r.mayDrop, now.At, now.At) {
			continue
		}
		c.violated(NoFalse, s.Token+" dropped", s.ID, now.At, "the watch of %s by %s dropped %s at %v, which had not ended (stale: %q)",
			w.Service, w.Client, s.Token, now.At, now.Stale)
	}
}

// checkMissing checks that a watch shows all that it must.
func (c *checker) checkMissing(w *Watch, client *Client, windows []window, over Moment) {
	sees := client.Heartbeat + second
	for _, token := range c.sorted() {
		r := c.tokens[token]
		if r.call.Service != w.Service {
			continue
		}
		visible := without(r.mustShow, span{0, w.Begun})
		for _, b := range windows {
			visible = without(visible, span{b.from, b.to + 1})
		}
		for _, v := range visible {
			v.from = c.by(v.from, sees)
			v.to = min(v.to, over)
			if v.empty() {
				continue
			}
			if at, missing := w.lacks(token, v); missing {
				c.violated(WatchAlive, token+" missed", r.call.ID, at, "the watch of %s by %s lacks %s from %v on, registered by %s at %v",
					w.Service, w.Client, token, at, r.client.Name, r.call.End)
			}
		}
	}
}

// lacks returns the first moment in a span at which a watch's newest state did
// not show a registration.
func (w *Watch) lacks(token string, in span) (Moment, bool) {
	for i, y := range w.Yields {
		until := never
		if i+1 < len(w.Yields) {
			until = w.Yields[i+1].At
		}
		from, to := max(y.At, in.from), min(until, in.to)
		if from < to && !shows(y, token) {
			return from, true
		}
	}
	if w.Yields[0].At > in.from {
		return in.from, true
	}
	return 0, false
}

func shows(y Yield, token string) bool {
	for _, s := range y.Shown {
		if s.Token == token {
			return true
		}
	}
	return false
}

// checkStale checks that a watch says in time that it is disconnected.
func (c *checker) checkStale(w *Watch, client *Client, windows []window, over Moment) {
	for _, b := range windows {
		limit := c.by(max(b.from, w.Begun), client.Heartbeat+second)
		if !b.unanswered || limit >= min(b.to, over) {
			continue
		}
		var newest *Yield
		for i := range w.Yields {
			if w.Yields[i].At <= limit {
				newest = &w.Yields[i]
			}
		}
		if newest == nil || newest.Stale == "" {
			c.violated(NoFalse, w.Client+w.Service+" stale", "", limit, "the watch of %s by %s was disconnected since %v and did not yield a stale state until %v",
				w.Service, w.Client, b.from, w.next(limit))
		}
	}
}

// next is when a watch next yielded.
func (w *Watch) next(at Moment) Moment {
	for _, y := range w.Yields {
		if y.At > at {
			return y.At
		}
	}
	return never
}

// checkConverged checks that in the end a watch shows what Discover shows.
func (c *checker) checkConverged(w *Watch, client *Client, over Moment) {
	if over+100*time.Millisecond < c.End {
		return
	}
	var calm time.Duration
	for _, other := range c.Clients {
		calm = max(calm, other.TTL, other.Heartbeat+second)
	}
	calm += client.Heartbeat + second
	for _, b := range c.windows(w.Client) {
		if c.by(b.to, calm) > c.End {
			return
		}
	}
	last := w.Yields[len(w.Yields)-1]
	if last.Stale != "" {
		c.violated(WatchAlive, w.Client+w.Service+" converged", "", c.End, "the watch of %s by %s is stale at the end, long after the last fault: %s", w.Service, w.Client, last.Stale)
	}
	final := c.final(w.Service)
	if final == nil || final.Start < c.by(last.At, client.Heartbeat+second) {
		return
	}
	same := len(final.Shown) == len(last.Shown)
	for i := range final.Shown {
		same = same && final.Shown[i].Token == last.Shown[i].Token
	}
	if !same {
		c.violated(WatchAlive, w.Client+w.Service+" converged", "", c.End, "at the end the watch of %s by %s shows %v and Discover %v", w.Service, w.Client, last.Shown, final.Shown)
	}
}

// final is the last successful read of a service.
func (m *model) final(service string) *Call {
	for i := len(m.Calls) - 1; i >= 0; i-- {
		if c := &m.Calls[i]; c.Op == Discover && c.Service == service && c.Err == "" {
			return c
		}
	}
	return nil
}
