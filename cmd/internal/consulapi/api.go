package consulapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/probing"
	"github.com/rollcall-sd/rollcall/registry"
)

// Config configures an API. Backend, Node and Address are required.
type Config struct {
	Backend    registry.Backend
	Node       string // the name of this daemon's node
	NodeID     string // a UUID that stays the same when the daemon restarts
	NodeMeta   map[string]string
	Address    string // of the node, as others reach it
	Port       int    // of the HTTP listener; 0 means 8500
	Datacenter string // "" means dc1
	Version    string
	Logger     *slog.Logger // nil means slog.Default()

	// CheckAllow are the addresses that checks may reach in addition to loopback.
	CheckAllow []netip.Prefix
	// MaxBlocked bounds the blocking queries that wait at a time; 0 means 10,000.
	MaxBlocked int
	// CallTimeout bounds a call of the backend; 0 means 5 s.
	CallTimeout time.Duration
}

// API is Consul's HTTP API on a backend. It is safe for concurrent use.
type API struct {
	config  Config
	clock   clock
	hub     *hub
	agent   *agent
	handler http.Handler
	blocked chan struct{} // has an element for each blocking query that waits

	ctx    context.Context // ends with the API
	cancel context.CancelFunc
	loops  sync.WaitGroup
	drain  chan struct{} // closed when blocked queries are to answer
	once   sync.Once     // closes drain
}

// New returns an API. The caller closes it, and the backend after it.
func New(config Config) (*API, error) {
	switch {
	case config.Backend == nil:
		return nil, fmt.Errorf("consulapi: Backend is required")
	case config.Node == "":
		return nil, fmt.Errorf("consulapi: Node is required")
	case config.Address == "":
		return nil, fmt.Errorf("consulapi: Address is required")
	}
	if config.Datacenter == "" {
		config.Datacenter = "dc1"
	}
	if config.Port == 0 {
		config.Port = 8500
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.MaxBlocked == 0 {
		config.MaxBlocked = 10_000
	}
	if config.CallTimeout == 0 {
		config.CallTimeout = 5 * time.Second
	}
	a := &API{config: config, blocked: make(chan struct{}, config.MaxBlocked), drain: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.hub = newHub(a)
	a.agent = newAgent(a, probing.New(maxRunningChecks))
	a.handler = a.routes()
	return a, nil
}

// Start registers this daemon's node and adopts what an earlier daemon of the same node
// left behind. It tries until ctx ends.
func (a *API) Start(ctx context.Context) error { return a.agent.start(ctx) }

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// AnswerBlocked makes blocked queries answer now, and later ones at once.
func (a *API) AnswerBlocked() { a.once.Do(func() { close(a.drain) }) }

// Blocked returns how many blocking queries wait.
func (a *API) Blocked() int { return len(a.blocked) }

// Leave deregisters what this daemon keeps alive.
func (a *API) Leave(ctx context.Context) error { return a.agent.leave(ctx) }

// Close ends checks and watches, and waits for them. It deregisters nothing.
func (a *API) Close() {
	a.AnswerBlocked()
	a.agent.close()
	a.hub.close()
	a.cancel()
	a.loops.Wait()
}
