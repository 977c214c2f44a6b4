package nemesis

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Violation says how a history violates a promise.
type Violation struct {
	Promise Promise
	ID      string // of the instance; "" if there is none
	At      Moment
	What    string
}

func (v Violation) String() string {
	return fmt.Sprintf("promise %d (%s) violated at %v, instance %q: %s", v.Promise, promiseNames[v.Promise], v.At.Round(time.Millisecond), v.ID, v.What)
}

// checker collects violations, each kind once per registration.
type checker struct {
	*model
	found []Violation
	seen  map[string]bool
}

// Check returns the violations of the promises in a finished history. During and
// after faults it applies the contract's bounds, counted from the end of the
// faults. It adds the machine's stall to each bound.
func Check(h *History) []Violation {
	c := &checker{model: newModel(h), seen: map[string]bool{}}
	for i := range h.Calls {
		call := &h.Calls[i]
		if call.Op == Discover && call.Err == "" {
			c.checkDiscover(call)
		}
		if call.Err != "" {
			c.checkFailure(call)
		}
	}
	c.checkRegistrationTimes()
	c.checkLossReports()
	for _, w := range h.Watches {
		c.checkWatch(w)
	}
	slices.SortStableFunc(c.found, func(a, b Violation) int { return int(a.At - b.At) })
	return c.found
}

func (c *checker) violated(p Promise, about, id string, at Moment, format string, args ...any) {
	key := fmt.Sprint(p, about, id)
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	c.found = append(c.found, Violation{Promise: p, ID: id, At: at, What: fmt.Sprintf(format, args...)})
}

// checkDiscover checks one successful read.
func (c *checker) checkDiscover(call *Call) {
	shown := map[string]Shown{}
	for i, s := range call.Shown {
		r := c.tokens[s.Token]
		switch other, twice := shown[s.ID]; {
		case twice:
			c.violated(AtomicReads, s.Token, s.ID, call.End, "Discover of %s by %s lists it twice, as %s and %s", call.Service, call.Client, other.Token, s.Token)
		case s.Broken || r == nil || r.call.ID != s.ID || r.call.Service != call.Service:
			c.violated(AtomicReads, s.Token, s.ID, call.End, "Discover of %s by %s shows %+v, which was not registered in this form", call.Service, call.Client, s)
		case !touched(r.mayShow, call.Start, call.End):
			c.violated(r.cause, s.Token+" shown", s.ID, call.End, "Discover of %s by %s still shows %s, which must have ended by %v: %s",
				call.Service, call.Client, s.Token, r.endLatest, r.why())
		}
		if i > 0 && !inOrder(call.Shown[i-1], s, c.memoryLost(0, call.End)) {
			c.violated(KeptAlive, "order", s.ID, call.End, "Discover of %s by %s is not in the order of registration", call.Service, call.Client)
		}
		shown[s.ID] = s
	}
	for _, token := range c.sorted() {
		r := c.tokens[token]
		if r.call.Service != call.Service || !covered(r.mustShow, call.Start, call.End) {
			continue
		}
		s, ok := shown[r.call.ID]
		if ok && s.Token == token {
			continue
		}
		p := r.missing(call.Start)
		if c.refusing(call.Start) {
			p = NoFalse
		}
		if other := c.tokens[s.Token]; ok && other != nil && other.call.Start < r.call.Start {
			p = NewestWins
		}
		c.violated(p, token+" missing", r.call.ID, call.End, "Discover of %s by %s at %v lacks %s (registered by %s at %v)",
			call.Service, call.Client, call.Start, token, r.client.Name, r.call.End)
	}
}

// refusing reports whether the server refused writes at a time.
func (c *checker) refusing(at Moment) bool {
	return slices.ContainsFunc(c.server, func(w window) bool { return w.refusesWrites && w.from <= at && at <= w.to })
}

// inOrder reports whether two neighbours of a list are ordered by registration
// time. Ties are allowed only after a loss of memory.
func inOrder(a, b Shown, lost bool) bool {
	return a.RegisteredAt < b.RegisteredAt || a.RegisteredAt == b.RegisteredAt && (lost || a.ID == b.ID)
}

// sorted returns the tokens in the order of their registration.
func (m *model) sorted() []string {
	if m.order == nil {
		for t := range m.tokens {
			m.order = append(m.order, t)
		}
		slices.SortFunc(m.order, func(a, b string) int {
			return int(m.tokens[a].call.Start - m.tokens[b].call.Start)
		})
	}
	return m.order
}

// missing is the promise that the absence of a registration violates.
func (r *registration) missing(at Moment) Promise {
	for _, b := range r.outages {
		if b.lost != never && b.lost > r.call.Start && b.until <= at && at < b.until+10*second {
			return ComesBack
		}
	}
	return KeptAlive
}

// why describes what ended a registration.
func (r *registration) why() string {
	switch {
	case r.endedBy != nil:
		return fmt.Sprintf("%s of %q by %s at %v to %v", r.endedBy.Op, r.endedBy.ID, r.endedBy.Client, r.endedBy.Start, r.endedBy.End)
	case r.failed:
		return fmt.Sprintf("its registration at %v failed: %s", r.call.Start, r.call.Err)
	default:
		return fmt.Sprintf("its owner %s was closed at %v to %v", r.client.Name, r.client.Ending, r.client.Ended)
	}
}

// checkFailure checks that calls fail only during faults.
func (c *checker) checkFailure(call *Call) {
	client := c.clients[call.Client]
	// A call is not retried if less than a pause remains before its deadline.
	const pause = 50 * time.Millisecond
	impatient := call.Deadline > 0 && call.Deadline-call.Start < second && call.End >= call.Deadline-pause
	if impatient || client.Ended > 0 && client.Ending <= call.End {
		return
	}
	for _, w := range c.windows(call.Client) {
		if c.by(w.to, second) >= call.Start && w.from <= call.End {
			return
		}
	}
	// The timeout of a request is one heartbeat.
	if c.between(call.Start, call.End) >= client.Heartbeat/2 {
		return
	}
	c.violated(KeptAlive, "error", call.ID, call.End, "%s by %s at %v failed without a fault: %s", call.Op, call.Client, call.Start, call.Err)
}

// checkRegistrationTimes checks that a registration that comes back keeps its time.
func (c *checker) checkRegistrationTimes() {
	first := map[string]map[int64]bool{}
	look := func(at Moment, shown []Shown) {
		for _, s := range shown {
			r := c.tokens[s.Token]
			if r == nil {
				continue
			}
			if first[s.Token] == nil {
				first[s.Token] = map[int64]bool{}
			}
			first[s.Token][s.RegisteredAt] = true
			if len(first[s.Token]) > 1+r.renews {
				c.violated(ComesBack, s.Token+" time", s.ID, at, "%s changed its RegisteredAt to %d", s.Token, s.RegisteredAt)
			}
		}
	}
	for i := range c.Calls {
		look(c.Calls[i].End, c.Calls[i].Shown)
	}
	for _, w := range c.Watches {
		for _, y := range w.Yields {
			look(y.At, y.Shown)
		}
	}
}

// checkLossReports checks that owners report each loss, and no other.
func (c *checker) checkLossReports() {
	for _, t := range c.LossReports {
		if !c.justified(t) {
			c.violated(NewestWins, "loss", t.ID, t.At, "%s reported the loss of %q, which no other client had changed", t.Client, t.ID)
		}
	}
	for _, token := range c.sorted() {
		r := c.tokens[token]
		by := r.endedBy
		if by == nil || by.Err != "" || by.Client == r.call.Client {
			continue
		}
		limit := c.lossReportDue(r, by)
		if r.client.Ended > 0 && r.client.Ending <= limit || limit > c.End || c.memoryLost(by.Start, limit) || c.regained(r, by, limit) {
			continue
		}
		if !slices.ContainsFunc(c.LossReports, func(t LossReport) bool {
			return t.Client == r.client.Name && t.ID == r.call.ID && t.At >= r.endEarliest && t.At <= limit
		}) {
			c.violated(r.cause, token+" not reported", r.call.ID, limit, "%s did not report by %v that it lost %s: %s", r.client.Name, limit, token, r.why())
		}
	}
}

// regained reports whether the owner changed the ID again before its report was due.
func (c *checker) regained(r *registration, by *Call, limit Moment) bool {
	for i := range c.Calls {
		o := &c.Calls[i]
		if o.Op != Discover && o.ID == r.call.ID && o.Client == r.client.Name && o.End >= by.Start && o.Start <= limit {
			return true
		}
	}
	return false
}

// justified reports whether another client changed the ID before the report.
func (c *checker) justified(t LossReport) bool {
	for i := range c.Calls {
		o := &c.Calls[i]
		if o.ID == t.ID && o.Op != Discover && o.Start < t.At && o.Client != t.Client {
			return true
		}
	}
	return false
}

// Around returns the events that concern an instance from at-before to at+behind,
// one a line.
func (h *History) Around(id string, at Moment, before, behind time.Duration) string {
	const absent = "without it"
	type line struct {
		at   Moment
		text string
	}
	var lines []line
	from, to := at-before, at+behind
	add := func(start, end Moment, format string, args ...any) {
		if end >= from && start <= to {
			span := fmt.Sprintf("%8.3f", start.Seconds())
			if end != start {
				span += fmt.Sprintf(" to %8.3f", end.Seconds())
			}
			lines = append(lines, line{start, fmt.Sprintf("%-22s %s", span, fmt.Sprintf(format, args...))})
		}
	}
	list := func(shown []Shown) string {
		for _, s := range shown {
			if s.ID == id {
				return "with it as " + s.Token
			}
		}
		return absent
	}
	last := map[any]string{} // a line is added only if it differs from the one before
	differs := func(key any, text string) bool {
		was, known := last[key]
		last[key] = text
		return was != text && (known || text != absent)
	}
	services := map[string]bool{}
	for _, c := range h.Calls {
		if c.ID == id && c.Op == Register {
			services[c.Service] = true
		}
	}
	for _, f := range h.Faults {
		add(f.Start, f.End, "FAULT %s %s", f.Kind, f.Client)
	}
	for _, c := range h.Clients {
		add(c.Opened, c.Opened, "%s opened, TTL %v, heartbeat %v", c.Name, c.TTL, c.Heartbeat)
		if c.Ended > 0 {
			add(c.Ending, c.Ended, "%s closed", c.Name)
		}
	}
	for i := range h.Calls {
		c := &h.Calls[i]
		switch {
		case c.Op != Discover && c.ID == id:
			add(c.Start, c.End, "%s %s %s of %q %s", c.Client, c.Op, c.Token, c.Service, c.Err)
		case c.Op == Discover && services[c.Service] && c.End >= from:
			shown := list(c.Shown)
			if c.Err != "" || differs(c.Client+c.Service, shown) {
				add(c.Start, c.End, "Discover of %q by %s %s %s", c.Service, c.Client, shown, c.Err)
			}
		}
	}
	for _, t := range h.LossReports {
		if t.ID == id {
			add(t.At, t.At, "%s reported the loss of %s (deregistered: %t)", t.Client, t.ID, t.Deregistered)
		}
	}
	for _, w := range h.Watches {
		if !services[w.Service] {
			continue
		}
		for _, y := range w.Yields {
			shown := list(y.Shown)
			if y.At >= from && differs(w, shown+y.Stale) {
				add(y.At, y.At, "watch of %q by %s %s %s", w.Service, w.Client, shown, y.Stale)
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(a.at - b.at) })
	var text strings.Builder
	for _, l := range lines {
		text.WriteString(l.text + "\n")
	}
	return text.String()
}
