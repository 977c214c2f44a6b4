// Package nemesis tests the promises under random faults. A plan is generated
// from a seed: calls, and faults of the server and of clients' connections. Running
// it yields a history of what callers and watches got. A checker finds the promises
// of docs/promises.md that the history violates.
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
	Name           string
	TTL, Heartbeat time.Duration
	Opened         Moment
	Crashed        bool   // closed without deregistering anything
	Ending         Moment // when Close was called; 0: not yet
	Ended          Moment // when Close had returned
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
	Token       string // identifies what was registered: no two registrations share it
	Start, End  Moment
	Deadline    Moment // after this it can no longer take effect
	Err         string `json:",omitempty"`
	Shown       []Shown
}

// Shown is one instance in an answer.
type Shown struct {
	ID, Token    string
	RegisteredAt int64 // RegisteredAt, µs
	Broken       bool  `json:",omitempty"` // its parts are not those of one registration
}

// Watch is one watch of one client.
type Watch struct {
	Client, Service string
	Begun           Moment
	Stopping        Moment // when its context ended; 0: not yet
	Ended           Moment // when it ended; 0: not yet
	Yields          []Yield
}

// Yield is one state that a watch yielded.
type Yield struct {
	At    Moment
	Shown []Shown
	Stale string `json:",omitempty"`
}

// LossReport is a client's word that it lost a registration to another.
type LossReport struct {
	Client, ID   string
	At           Moment
	Deregistered bool // not superseded
}

// Fault is one fault, of the server or of one client's connection.
type Fault struct {
	Kind       FaultKind
	Client     string `json:",omitempty"` // whose connection; "": the server
	Start, End Moment
}

// History is what happened. Recording is safe for concurrent use.
type History struct {
	Seed uint64

	mu          sync.Mutex
	began       time.Time
	Clients     []*Client
	Calls       []Call
	Watches     []*Watch
	LossReports []LossReport
	Faults      []Fault
	Stalls      []MeasuredStall
	End         Moment
}

// NewHistory begins a history.
func NewHistory(seed uint64) *History { return &History{Seed: seed, began: time.Now()} }

// Now returns the current moment.
func (h *History) Now() Moment { return time.Since(h.began) }

// OpenClient records that a client was opened.
func (h *History) OpenClient(name string, ttl, heartbeat time.Duration) *Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &Client{Name: name, TTL: ttl, Heartbeat: heartbeat, Opened: h.Now()}
	h.Clients = append(h.Clients, c)
	return c
}

// CloseClient runs end, which closes a client, and records when.
func (h *History) CloseClient(c *Client, crashed bool, end func()) {
	h.mu.Lock()
	c.Ending, c.Crashed = h.Now(), crashed
	h.mu.Unlock()
	end()
	h.mu.Lock()
	c.Ended = h.Now()
	h.mu.Unlock()
}

// AddCall adds a finished call.
func (h *History) AddCall(c Call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		c.End = h.Now()
		h.Calls = append(h.Calls, c)
	}
}

// BeginWatch records that a watch begins.
func (h *History) BeginWatch(client, service string) *Watch {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := &Watch{Client: client, Service: service, Begun: h.Now()}
	h.Watches = append(h.Watches, w)
	return w
}

// AddYield adds what a watch yielded.
func (h *History) AddYield(w *Watch, shown []Shown, stale string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		w.Yields = append(w.Yields, Yield{At: h.Now(), Shown: shown, Stale: stale})
	}
}

// StopWatch records that the context of a watch has ended.
func (h *History) StopWatch(w *Watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		w.Stopping = h.Now()
	}
}

// WatchEnded records that a watch has ended.
func (h *History) WatchEnded(w *Watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		w.Ended = h.Now()
	}
}

// ReportLoss records that a client reported the loss of an ID.
func (h *History) ReportLoss(client, id string, removed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		h.LossReports = append(h.LossReports, LossReport{Client: client, ID: id, At: h.Now(), Deregistered: removed})
	}
}

// RunFault runs a fault and records its start and end.
func (h *History) RunFault(kind FaultKind, client string, fault func()) {
	start := h.Now()
	fault()
	h.AddFault(Fault{Kind: kind, Client: client, Start: start, End: h.Now()})
}

// AddFault adds a fault.
func (h *History) AddFault(f Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		h.Faults = append(h.Faults, f)
	}
}

// AddStall adds a measured stall. Its time follows that of all added before.
func (h *History) AddStall(s MeasuredStall) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.End == 0 {
		h.Stalls = append(h.Stalls, s)
	}
}

// Finish ends the history and sorts it. Later events are ignored.
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
	for _, t := range h.LossReports {
		if err := write("loss", t); err != nil {
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
