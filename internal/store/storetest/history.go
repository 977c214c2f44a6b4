package storetest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/rollcall-sd/rollcall/internal/store"
)

var historyChecks = []check{
	{name: "Every short history of one ID ends as the fencing table says", run: shortHistories},
	{name: "Long histories of one ID end as the fencing table says", run: longHistories},
}

// step is one call about one ID.
type step struct {
	what    string // register, leave, remove, expire, renew or reregister
	owner   int
	service int
}

func (s step) String() string {
	switch s.what {
	case "register":
		return fmt.Sprintf("%c registers in service %d", 'A'+s.owner, s.service)
	case "remove":
		return "an operator deregisters it"
	case "expire":
		return "its lease ends"
	}
	return fmt.Sprintf("%c %ss", 'A'+s.owner, s.what)
}

// steps are the steps that the backend supports.
func (e *env) steps() []step {
	owners := 1
	if e.harness.SharedBackend {
		owners = 2
	}
	all := []step{{what: "remove"}}
	if e.harness.Leases {
		all = append(all, step{what: "expire"})
	}
	for o := range owners {
		all = append(all, step{"register", o, 0}, step{"register", o, 1}, step{what: "leave", owner: o})
		if e.harness.Leases {
			all = append(all, step{what: "renew", owner: o}, step{what: "reregister", owner: o})
		}
	}
	return all
}

// model is what the rules say about one ID: which owner registered it last, and what
// became of the registrations that owners hold.
type model struct {
	owner, service int // of the newest registration
	stands         bool
	alive          bool // its lease has not ended
	held           [2]struct {
		yes          bool
		service      int
		registeredAt int64
		gone         bool // superseded, or deregistered by another
	}
}

// possible reports whether a step adds something to the ones before.
func (m *model) possible(s step) bool {
	switch s.what {
	case "register", "remove":
		return true
	case "expire":
		return m.stands && m.alive
	}
	return m.held[s.owner].yes
}

// history makes steps about an ID of its own in two services of its own.
type history struct {
	e        *env
	stores   [2]store.Store
	other    store.Store
	services [2]string
	id       string
	m        model
	last     int64 // the greatest registration time
	said     []string
}

func (h *history) errorf(format string, args ...any) {
	h.e.Helper()
	h.e.Errorf("%s: %s", strings.Join(h.said, ", "), fmt.Sprintf(format, args...))
}

func (h *history) play(s step) {
	h.e.Helper()
	h.said = append(h.said, s.String())
	m, held := &h.m, &h.m.held[s.owner]
	switch s.what {
	case "register":
		h.register(s)
	case "leave":
		r := h.e.deregister(h.stores[s.owner], h.services[held.service], h.id, held.registeredAt)
		mine := m.stands && m.owner == s.owner
		if r.Existed != (mine && m.alive) {
			h.errorf("answered %+v", r)
		}
		m.stands = m.stands && !mine
		held.yes = false
	case "remove":
		r := h.e.remove(h.other, store.Removal{ID: h.id})
		if r.Existed != (m.stands && m.alive) {
			h.errorf("answered %+v", r)
		}
		if m.stands {
			m.held[m.owner].gone = true
		}
		m.stands = false
	case "expire":
		h.e.backend.Expire(h.services[m.service], h.id)
		m.alive = false
	case "renew":
		r := h.e.renew(h.stores[s.owner], h.services[held.service], store.Lease{ID: h.id, RegisteredAt: held.registeredAt})
		outcome := r.Outcomes[h.id]
		switch {
		case held.gone && outcome != store.Superseded && outcome != store.Deregistered,
			!held.gone && m.alive && outcome != store.Done,
			!held.gone && !m.alive && outcome != store.Lost:
			h.errorf("answered %+v", r)
		}
	case "reregister":
		r := h.e.try(h.stores[s.owner], reregister(h.ask(s.owner, held.service), held.registeredAt))
		switch {
		case held.gone && r.Outcome != store.Superseded && r.Outcome != store.Deregistered:
			h.errorf("answered %+v", r)
		case !held.gone && (r.Outcome != store.Done || r.RegisteredAt != held.registeredAt):
			h.errorf("answered %+v, want registration time %d", r, held.registeredAt)
		case !held.gone:
			m.alive = true
		}
	}
}

func (h *history) ask(owner, service int) store.Put {
	return putOf(h.services[service], h.id, fmt.Sprint("of ", owner))
}

func (h *history) register(s step) {
	h.e.Helper()
	m, held := &h.m, &h.m.held[s.owner]
	r := h.e.try(h.stores[s.owner], h.ask(s.owner, s.service))
	renews := m.stands && m.alive && m.owner == s.owner && m.service == s.service
	if r.Outcome != store.Done || renews && r.RegisteredAt != held.registeredAt || !renews && r.RegisteredAt <= h.last {
		h.errorf("answered %+v after registration time %d", r, h.last)
	}
	h.last = max(h.last, r.RegisteredAt)
	if m.owner != s.owner {
		m.held[m.owner].gone = true // also what was deregistered: a newer owner has the ID
	}
	m.owner, m.service, m.stands, m.alive = s.owner, s.service, true, true
	held.yes, held.service, held.registeredAt, held.gone = true, s.service, r.RegisteredAt, false
}

// check compares what readers see.
func (h *history) check() {
	h.e.Helper()
	for i, service := range h.services {
		rec := h.e.record(service, h.id)
		want := h.m.stands && h.m.alive && h.m.service == i
		if (rec != nil) != want || want && rec.RegisteredAt != h.m.held[h.m.owner].registeredAt {
			h.errorf("service %d holds %+v, want one: %v", i, rec, want)
		}
	}
}

func (e *env) histories() func(n int, id string) *history {
	stores := [2]store.Store{e.alpha, e.alpha}
	other := e.alpha
	if e.harness.SharedBackend {
		stores[1], other = e.open("beta"), e.open("operator")
	}
	return func(n int, id string) *history {
		return &history{e: e, stores: stores, other: other, id: id, services: [2]string{fmt.Sprint("g", n), fmt.Sprint("h", n)}}
	}
}

const shortHistory = 3

func shortHistories(e *env) {
	start, n := e.histories(), 0
	var extend func(steps []step)
	extend = func(steps []step) {
		n++
		h := start(n, fmt.Sprint("i", n))
		for _, s := range steps {
			h.play(s)
		}
		h.check()
		if e.Failed() {
			e.FailNow()
		}
		if len(steps) == shortHistory {
			return
		}
		for _, s := range e.steps() {
			if h.m.possible(s) && (len(steps) > 0 || s.what == "register") {
				extend(append(steps[:len(steps):len(steps)], s))
			}
		}
	}
	extend(nil)
	e.Logf("%d histories", n)
}

func longHistories(e *env) {
	random := rand.New(rand.NewPCG(1, 2))
	start, steps := e.histories(), e.steps()
	for n := range 100 {
		h := start(n, fmt.Sprint("i", n))
		for len(h.said) < 20 {
			s := steps[random.IntN(len(steps))]
			if !h.m.possible(s) {
				continue
			}
			h.play(s)
			h.check()
			if e.Failed() {
				e.FailNow()
			}
		}
	}
}
