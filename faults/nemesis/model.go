package nemesis

import "time"

// Promise is a number of the contract's list.
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

// lapse is how much earlier than one interval before an outage the last
// heartbeat of an owner may have reached Redis: it takes a moment to send.
const lapse = 250 * time.Millisecond

// registration is what a history says of one token.
type registration struct {
	call   *Call
	client *Client
	failed bool
	renews int // identical registrations after the first
	reach  []block

	// must: when every Discover has to show it.
	must []span
	// may: when a Discover is allowed to.
	may []span
	// excused: when a watch may drop it although it was not ended: its owner was out of reach for so long.
	excused []span

	ending Moment  // when something that may have ended it began; never, if nothing did
	end    Moment  // when it was over for sure; never, if that is not sure
	cause  Promise // that says so
	ender  *Call   // what ended it; nil for a crash
}

// model is what a history says about all registrations.
type model struct {
	*History
	stalls
	clients    map[string]*Client
	tokens     map[string]*registration
	order      []string // of tokens
	server     []window
	serverDown []window // of these, when it did not answer, refused writes or lost its memory
}

func newModel(h *History) *model {
	m := &model{History: h, stalls: newStalls(h.Stalls), clients: map[string]*Client{}, tokens: map[string]*registration{}, server: h.windows("")}
	for _, c := range h.Clients {
		m.clients[c.Name] = c
	}
	for _, w := range m.server {
		if w.away || w.loss || w.refuses {
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
				reach: m.blocks(h.windows(c.Client), client.Beat), ending: never, end: never}
		}
		byID[c.ID] = append(byID[c.ID], c)
	}
	for _, r := range m.tokens {
		m.live(r, byID[r.call.ID])
	}
	return m
}

// grace is the time that the owner of a registration has to come back.
func (r *registration) grace() time.Duration { return max(r.client.TTL, r.client.Beat+second) }

// lasts is when the lease ends that the last heartbeat before an outage left.
func (m *model) lasts(r *registration, b block) Moment {
	return max(m.before(b.from, r.client.Beat+lapse), r.call.Start) + r.client.TTL
}

// gone is when a registration of which no heartbeat was sent after t has to be
// over in Redis.
func (m *model) gone(r *registration, t Moment) Moment {
	return m.after(t, m.by(t, r.client.TTL+second), m.serverDown, r.grace())
}

// live works out when a registration has to and may be seen. later are the
// calls on its ID in order.
func (m *model) live(r *registration, calls []*Call) {
	began := r.call
	if r.failed {
		// It is not kept alive but may show for one TTL.
		r.ending, r.cause = began.Start, Gone
		r.end = m.gone(r, max(began.End, began.Deadline))
		r.may = []span{{began.Start, r.end}}
		return
	}
	must := []span{{began.End, never}}
	for _, b := range r.reach {
		if b.until < began.Start {
			continue
		}
		lasts := m.lasts(r, b)
		if b.other {
			must = without(must, span{min(lasts, b.lost), b.until})
		} else {
			must = without(must, span{b.to, b.until}) // a Discover that answers shows it all the same
		}
		if b.own {
			// A loss of memory ends the lease; it is then held until an owner within
			// reach had the time to register again.
			r.excused = append(r.excused, span{min(lasts, b.lost+r.client.Beat+second), b.until})
		}
	}
	later := false
	for _, c := range calls {
		switch {
		case c == began:
			later = true
		case later && r.ending == never:
			must = m.follow(r, c, must)
		case later && r.end == never:
			m.settle(r, c)
		}
	}
	if r.client.Ended > 0 {
		r.ending = min(r.ending, r.client.Ending)
		r.over(m.gone(r, r.client.Ended), Gone, nil)
	}
	r.must = without(must, span{r.ending, never})
	r.may = []span{{began.Start, r.end}}
}

// follow takes the next call on the ID while nothing has ended the registration.
func (m *model) follow(r *registration, c *Call, must []span) []span {
	if r.client.Ended > 0 && c.Start > r.client.Ending {
		m.settle(r, c)
		return must
	}
	if c.Op == Register && c.Client == r.call.Client && c.Err != "" {
		// A failed replacement by its own owner may stand in its place until the next beat.
		beat := r.client.Beat + second
		heal := m.after(c.Start, m.by(max(c.End, c.Deadline), beat), m.windows(c.Client), beat)
		r.excused = append(r.excused, span{c.Start, heal})
		return without(must, span{c.Start, heal})
	}
	r.ending = c.Start
	m.settle(r, c)
	return must
}

// settle takes a call that may have ended the registration for sure.
func (m *model) settle(r *registration, c *Call) {
	own := c.Client == r.call.Client
	switch {
	case c.Op == Deregister && own && c.Err == "":
		r.over(c.End, Final, c)
	case c.Op == Deregister && own:
		// Its heartbeat has stopped nevertheless.
		r.over(m.gone(r, max(c.End, c.Deadline)), Gone, c)
	case c.Err != "":
		// Perhaps it took effect and perhaps not.
	case c.Op == Register && own:
		r.over(c.End, NewestWins, c)
	case c.Op == Register:
		if told := m.told(r, c); !m.lost(c.Start, told) {
			r.over(c.End, NewestWins, c)
		} else if m.outlives(c) {
			// The earlier owner may show it until the later has healed, too.
			heal := m.clients[c.Client].Beat + second
			r.over(m.after(c.End, m.by(told, heal), m.windows(c.Client), heal), NewestWins, c)
		}
	case c.Op == Operate:
		if told := m.told(r, c); covered(m.reached(r), c.Start, c.End) && !m.lost(c.Start, told) {
			r.over(c.End, Final, c)
		}
	}
}

func (r *registration) over(at Moment, cause Promise, by *Call) {
	if at < r.end {
		r.end, r.cause, r.ender = at, cause, by
	}
}

// told is when a registration's owner has heard that a call ended it: when it
// says so, or at the latest.
func (m *model) told(r *registration, c *Call) Moment {
	at := m.mustTell(r, c)
	for _, t := range m.Tolds {
		if t.Client == r.client.Name && t.ID == c.ID && t.At >= c.Start {
			at = min(at, t.At)
		}
	}
	return at
}

// mustTell is when a registration's owner has to have heard that a call ended it.
func (m *model) mustTell(r *registration, c *Call) Moment {
	return m.after(c.End, m.by(c.End, r.client.Beat+second), m.windows(r.client.Name), r.client.Beat+second)
}

// lost reports whether Redis lost its memory in a time.
func (m *model) lost(from, to Moment) bool {
	for _, w := range m.server {
		if w.loss && w.from <= to && w.to >= from {
			return true
		}
	}
	return false
}

// outlives reports whether what a call registered is not ended by anything.
func (m *model) outlives(c *Call) bool {
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

// reached is when Redis held a registration for sure while its owner kept it.
func (m *model) reached(r *registration) []span {
	held := []span{{r.call.End, never}}
	for _, b := range r.reach {
		held = without(held, span{min(m.lasts(r, b), b.lost), b.until})
	}
	return held
}
