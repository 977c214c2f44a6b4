package nemesis

import "time"

// Promise is a number in docs/promises.md.
type Promise int

// The promises that a history can violate.
const (
	KeptAlive   Promise = 1
	Gone        Promise = 2
	ComesBack   Promise = 3
	Final       Promise = 4
	NewestWins  Promise = 5
	NoFalse     Promise = 7
	WatchAlive  Promise = 8
	AtomicReads Promise = 11
)

var promiseNames = map[Promise]string{
	KeptAlive: "kept alive", Gone: "gone after a crash", ComesBack: "comes back", Final: "final",
	NewestWins: "the newest owner wins", NoFalse: "no false empty", WatchAlive: "a watch never dies silently",
	AtomicReads: "atomic",
}

// heartbeatDelay is how much earlier than one interval before an outage the last
// heartbeat of an owner may have reached Redis, as sending takes time.
const heartbeatDelay = 250 * time.Millisecond

// registration is what a history says about one token.
type registration struct {
	call    *Call
	client  *Client
	failed  bool
	renews  int // identical registrations after the first
	outages []outage

	// mustShow is when every Discover must show it.
	mustShow []span
	// mayShow is when a Discover may show it.
	mayShow []span
	// mayDrop is when a watch may drop it although nothing ended it, because its
	// owner could not reach Redis for so long.
	mayDrop []span

	endEarliest Moment  // when the first call began that may have ended it; never if there is none
	endLatest   Moment  // when it had certainly ended; never if that is uncertain
	cause       Promise // the promise that says so
	endedBy     *Call   // what ended it; nil for a crash
}

// model is what a history says about all registrations.
type model struct {
	*History
	stalls
	clients    map[string]*Client
	tokens     map[string]*registration
	order      []string // of tokens
	server     []window
	serverDown []window // those in which it did not answer, refused writes or lost its memory
}

func newModel(h *History) *model {
	m := &model{History: h, stalls: newStalls(h.Stalls), clients: map[string]*Client{}, tokens: map[string]*registration{}, server: h.windows("")}
	for _, c := range h.Clients {
		m.clients[c.Name] = c
	}
	for _, w := range m.server {
		if w.unanswered || w.losesMemory || w.refusesWrites {
			m.serverDown = append(m.serverDown, w)
		}
	}
	byID := map[string][]*Call{}
	for i := range h.Calls {
		c := &h.Calls[i]
		if c.Op == Discover {
			continue
		}
		if c.Op == Register {
			if r := m.tokens[c.Token]; r != nil {
				r.renews++ // it changes nothing
				continue
			}
			client := m.clients[c.Client]
			m.tokens[c.Token] = &registration{call: c, client: client, failed: c.Err != "",
				outages: m.outages(h.windows(c.Client), client.Heartbeat), endEarliest: never, endLatest: never}
		}
		byID[c.ID] = append(byID[c.ID], c)
	}
	for _, r := range m.tokens {
		m.derive(r, byID[r.call.ID])
	}
	return m
}

// gracePeriod is the time that the owner of a registration has to come back.
func (r *registration) gracePeriod() time.Duration {
	return max(r.client.TTL, r.client.Heartbeat+second)
}

// leaseEnd is when the lease ends that the last heartbeat before an outage renewed.
func (m *model) leaseEnd(r *registration, b outage) Moment {
	return max(m.before(b.from, r.client.Heartbeat+heartbeatDelay), r.call.Start) + r.client.TTL
}

// goneBy is when a registration must have ended in Redis if no heartbeat for it
// was sent after t.
func (m *model) goneBy(r *registration, t Moment) Moment {
	return m.after(t, m.by(t, r.client.TTL+second), m.serverDown, r.gracePeriod())
}

// derive finds when a registration must and may be shown. calls are the calls on
// its ID in order.
func (m *model) derive(r *registration, calls []*Call) {
	began := r.call
	if r.failed {
		// It is not kept alive but may be shown for one TTL.
		r.endEarliest, r.cause = began.Start, Gone
		r.endLatest = m.goneBy(r, max(began.End, began.Deadline))
		r.mayShow = []span{{began.Start, r.endLatest}}
		return
	}
	must := []span{{began.End, never}}
	for _, b := range r.outages {
		if b.until < began.Start {
			continue
		}
		lasts := m.leaseEnd(r, b)
		if b.other {
			must = without(must, span{min(lasts, b.lost), b.until})
		} else {
			must = without(must, span{b.to, b.until}) // a Discover that succeeds shows it nevertheless
		}
		if b.own {
			// A loss of memory ends the lease. The instance is then retained until an
			// owner that reaches Redis had the time to reregister it.
			r.mayDrop = append(r.mayDrop, span{min(lasts, b.lost+r.client.Heartbeat+second), b.until})
		}
	}
	later := false
	for _, c := range calls {
		switch {
		case c == began:
			later = true
		case later && r.endEarliest == never:
			must = m.applyCall(r, c, must)
		case later && r.endLatest == never:
			m.applyEnd(r, c)
		}
	}
	if r.client.Ended > 0 {
		r.endEarliest = min(r.endEarliest, r.client.Ending)
		r.setEnd(m.goneBy(r, r.client.Ended), Gone, nil)
	}
	r.mustShow = without(must, span{r.endEarliest, never})
	r.mayShow = []span{{began.Start, r.endLatest}}
}

// applyCall applies the next call on the ID while nothing has ended the registration.
func (m *model) applyCall(r *registration, c *Call, must []span) []span {
	if r.client.Ended > 0 && c.Start > r.client.Ending {
		m.applyEnd(r, c)
		return must
	}
	if c.Op == Register && c.Client == r.call.Client && c.Err != "" {
		// A failed replacement by its own owner may take its place until the next heartbeat.
		heartbeat := r.client.Heartbeat + second
		restored := m.after(c.Start, m.by(max(c.End, c.Deadline), heartbeat), m.windows(c.Client), heartbeat)
		r.mayDrop = append(r.mayDrop, span{c.Start, restored})
		return without(must, span{c.Start, restored})
	}
	r.endEarliest = c.Start
	m.applyEnd(r, c)
	return must
}

// applyEnd applies a call that may have ended the registration with certainty.
func (m *model) applyEnd(r *registration, c *Call) {
	own := c.Client == r.call.Client
	switch {
	case c.Op == Deregister && own && c.Err == "":
		r.setEnd(c.End, Final, c)
	case c.Op == Deregister && own:
		// Its heartbeat has stopped nevertheless.
		r.setEnd(m.goneBy(r, max(c.End, c.Deadline)), Gone, c)
	case c.Err != "":
		// It may or may not have taken effect.
	case c.Op == Register && own:
		r.setEnd(c.End, NewestWins, c)
	case c.Op == Register:
		if known := m.lossKnownBy(r, c); !m.memoryLost(c.Start, known) {
			r.setEnd(c.End, NewestWins, c)
		} else if m.staysRegistered(c) {
			// The earlier registration may be shown until the later owner has reregistered.
			restored := m.clients[c.Client].Heartbeat + second
			r.setEnd(m.after(c.End, m.by(known, restored), m.windows(c.Client), restored), NewestWins, c)
		}
	case c.Op == Operate:
		if known := m.lossKnownBy(r, c); covered(m.storedSpans(r), c.Start, c.End) && !m.memoryLost(c.Start, known) {
			r.setEnd(c.End, Final, c)
		}
	}
}

func (r *registration) setEnd(at Moment, cause Promise, by *Call) {
	if at < r.endLatest {
		r.endLatest, r.cause, r.endedBy = at, cause, by
	}
}

// lossKnownBy is when a registration's owner knew that a call ended it: when it
// reported the loss, or the latest moment at which it must report it.
func (m *model) lossKnownBy(r *registration, c *Call) Moment {
	at := m.lossReportDue(r, c)
	for _, t := range m.LossReports {
		if t.Client == r.client.Name && t.ID == c.ID && t.At >= c.Start {
			at = min(at, t.At)
		}
	}
	return at
}

// lossReportDue is when a registration's owner must have reported that a call ended it.
func (m *model) lossReportDue(r *registration, c *Call) Moment {
	return m.after(c.End, m.by(c.End, r.client.Heartbeat+second), m.windows(r.client.Name), r.client.Heartbeat+second)
}

// memoryLost reports whether Redis lost its memory between two moments.
func (m *model) memoryLost(from, to Moment) bool {
	for _, w := range m.server {
		if w.losesMemory && w.from <= to && w.to >= from {
			return true
		}
	}
	return false
}

// staysRegistered reports whether nothing ends what a call registered.
func (m *model) staysRegistered(c *Call) bool {
	r := m.tokens[c.Token]
	return r != nil && r.client.Ended == 0 && !m.touchedLater(c)
}

// touchedLater reports whether another call on the ID follows.
func (m *model) touchedLater(c *Call) bool {
	for i := range m.Calls {
		o := &m.Calls[i]
		if o.Op != Discover && o.ID == c.ID && o.Start > c.Start && o.Token != c.Token {
			return true
		}
	}
	return false
}

// storedSpans is when Redis certainly stored a registration that its owner kept alive.
func (m *model) storedSpans(r *registration) []span {
	stored := []span{{r.call.End, never}}
	for _, b := range r.outages {
		stored = without(stored, span{min(m.leaseEnd(r, b), b.lost), b.until})
	}
	return stored
}
