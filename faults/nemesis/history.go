// Package nemesis is the random fault scenario: a generator of workloads and
// faults from a seed, the history of what callers and watchers got, and a
// checker that holds such a history against the library's promises.
package nemesis

import (
	"encoding/json"
	"io"
	"slices"
	"sync"
	"time"
)

// Moment is a time since the history began.
type Moment = time.Duration

// Client is one registry value, from its opening to its end.
type Client struct {
	Name      string
	TTL, Beat time.Duration
	Opened    Moment
	Crashed   bool   // closed without deregistering anything
	Ending    Moment // when Close was called; 0: not yet
	Ended     Moment // when Close had returned
}

// Op is what a Call asks for.
type Op string

// The operations of a Call.
const (
	Register   Op = "register"
	Deregister Op = "deregister" // of what this client registered
	Operate    Op = "operate"    // deregistration by ID, by a client that does not own it
	Discover   Op = "discover"
)

// Call is one call with its answer. Two calls that change one ID never overlap.
type Call struct {
	Client      string
	Op          Op
	Service, ID string
	Token       string // marks what was registered: no two registrations share it
	Start, End  Moment
	Deadline    Moment // after which it cannot take effect any more
	Err         string `json:",omitempty"`
	Shown       []Shown
}

// Shown is one instance in an answer.
type Shown struct {
	ID, Token string
	Stamp     int64 // RegisteredAt, µs
	Broken    bool  `json:",omitempty"` // its parts are not those of one registration
}

// Watch is one watch of one client.
type Watch struct {
	Client, Service string
	Begun           Moment
	Stopping        Moment // when it was told to end; 0: not yet
	Ended           Moment // when it ended; 0: not yet
	Yields          []Yield
}

// Yield is one state that a watch handed out.
type Yield struct {
	At    Moment
	Shown []Shown
	Stale string `json:",omitempty"`
}

// Told is a client's word that it lost a registration to another.
type Told struct {
	Client, ID string
	At         Moment
	Removed    bool // deregistered by another, not superseded
}

// Fault is something that went wrong, for everybody or on one client's line.
type Fault struct {
	Kind       FaultKind
	Client     string `json:",omitempty"` // whose line; "": the server
	Start, End Moment
}

// History is what happened. Recording is safe for concurrent use.
type History struct {
	Seed uint64

	mu      sync.Mutex
	began   time.Time
	Clients []*Client
	Calls   []Call
	Watches []*Watch
	Tolds   []Told
	Faults  []Fault
	Stalls  []Stalled
	End     Moment
}

// NewHistory begins a history.
func NewHistory(seed uint64) *History { return &History{Seed: seed, began: time.Now()} }

// Now is the present moment.
func (h *History) Now() Moment { return time.Since(h.began) }

// Open notes that a client begins.
func (h *History) Open(name string, ttl, beat time.Duration) *Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &Client{Name: name, TTL: ttl, Beat: beat, Opened: h.Now()}
	h.Clients = append(h.Clients, c)
	return c
}

// Close runs end, which ends a client, and notes when.
func (h *History) Close(c *Client, crashed bool, end func()) {
	h.mu.Lock()
	c.Ending, c.Crashed = h.Now(), crashed
	h.mu.Unlock()
	end()
	h.mu.Lock()
	c.Ended = h.Now()
	h.mu.Unlock()
}

// Called adds a finished call.
func (h *History) Called(c Call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		c.End = h.Now()
		h.Calls = append(h.Calls, c)
	}
}

// Begin notes that a watch begins.
func (h *History) Begin(client, service string) *Watch {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := &Watch{Client: client, Service: service, Begun: h.Now()}
	h.Watches = append(h.Watches, w)
	return w
}

// Yielded adds what a watch handed out.
func (h *History) Yielded(w *Watch, shown []Shown, stale string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		w.Yields = append(w.Yields, Yield{At: h.Now(), Shown: shown, Stale: stale})
	}
}

// Stop notes that a watch is told to end.
func (h *History) Stop(w *Watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		w.Stopping = h.Now()
	}
}

// Over notes that a watch has ended.
func (h *History) Over(w *Watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		w.Ended = h.Now()
	}
}

// Tell notes that a client says it lost an ID.
func (h *History) Tell(client, id string, removed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		h.Tolds = append(h.Tolds, Told{Client: client, ID: id, At: h.Now(), Removed: removed})
	}
}

// Suffer runs a fault from its beginning to its end and notes both.
func (h *History) Suffer(kind FaultKind, client string, fault func()) {
	start := h.Now()
	fault()
	h.Suffered(Fault{Kind: kind, Client: client, Start: start, End: h.Now()})
}

// Suffered adds a fault.
func (h *History) Suffered(f Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		h.Faults = append(h.Faults, f)
	}
}

// Stalled adds for how long the machine stood in a time, which follows all that
// was added before.
func (h *History) Stalled(s Stalled) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		h.Stalls = append(h.Stalls, s)
	}
}

// Finish ends the history and puts it in order. What comes later is not part of it.
func (h *History) Finish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.End = h.Now()
	h.sort()
}

func (h *History) sort() {
	slices.SortStableFunc(h.Calls, func(a, b Call) int { return int(a.Start - b.Start) })
	slices.SortStableFunc(h.Faults, func(a, b Fault) int { return int(a.Start - b.Start) })
}

// Write writes the whole history, a JSON object per line.
func (h *History) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	write := func(kind string, v any) error {
		return enc.Encode(map[string]any{kind: v})
	}
	if err := write("seed", h.Seed); err != nil {
		return err
	}
	for _, c := range h.Clients {
		if err := write("client", c); err != nil {
			return err
		}
	}
	for _, f := range h.Faults {
		if err := write("fault", f); err != nil {
			return err
		}
	}
	for _, s := range h.Stalls {
		if err := write("stall", s); err != nil {
			return err
		}
	}
	for _, c := range h.Calls {
		if err := write("call", c); err != nil {
			return err
		}
	}
	for _, t := range h.Tolds {
		if err := write("told", t); err != nil {
			return err
		}
	}
	for _, watch := range h.Watches {
		if err := write("watch", watch); err != nil {
			return err
		}
	}
	return nil
}
