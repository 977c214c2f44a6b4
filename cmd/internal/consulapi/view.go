package consulapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// ErrStopping is returned by reads that wait when the API answers blocked queries.
var ErrStopping = errors.New("the daemon is stopping")

// Node is what a node says of itself.
type Node struct {
	Name    string
	ID      string
	Address string
	Meta    map[string]string
}

// Check is the state of a check.
type Check struct {
	ID     string
	Name   string
	Status string // "passing", "warning" or "critical"
	Output string
}

// Instance is an instance of a service with what its node and its checks say.
type Instance struct {
	registry.ServiceInfo
	Note    string // of the status
	Node    *Node
	Checks  []Check // its own, then those of its node
	Health  string  // the worst of Checks; maintenance and draining are "critical"
	Weights Weights

	// Library marks an instance that was registered without a daemon.
	Library bool
	// NoPort marks one that was registered without a port. Its Port is 1.
	NoPort bool
}

// Weights are how much an instance counts, by its health.
type Weights struct{ Passing, Warning int }

// ServiceState is the state of a service. All readers share it, and must not change it.
// As long as nothing changes, reads return the same pointer. Of two states with the same
// Index the instances are the same.
type ServiceState struct {
	Name      string
	Instances []*Instance // oldest first; none if nothing offers the service
	Index     uint64
	Stale     error     // why the backend is unavailable, nil if it is not
	AsOf      time.Time // when the backend last confirmed a state that is stale
}

// CatalogState says which services have instances. Its Index changes with any of them.
// As with ServiceState, readers share it.
type CatalogState struct {
	Names []string // sorted
	Index uint64
	Stale error
	AsOf  time.Time
}

// Service returns the state of a service, which is watched from now on. While the backend
// has not answered yet it waits until ctx ends. The error then matches
// registry.ErrUnavailable.
func (a *API) Service(ctx context.Context, name string) (*ServiceState, error) {
	return a.AwaitService(ctx, name, nil)
}

// AwaitService returns the state of a service once it is another one than last: its
// instances have changed, or it became stale or is no longer. It returns ErrStopping if
// the daemon stops, and an error that matches that of ctx if that ends.
func (a *API) AwaitService(ctx context.Context, name string, last *ServiceState) (*ServiceState, error) {
	a.nodes() // what nodes say belongs to the state
	c, done, err := a.hub.read(name)
	if err != nil {
		return nil, err
	}
	defer done()
	if last == nil {
		a.awaitNodes(ctx)
	}
	view, index, err := awaitState(ctx, a, c, func(view *serviceView, index uint64) bool {
		return last == nil || index != last.Index || (view.stale == nil) != (last.Stale == nil)
	})
	if err != nil {
		return nil, fmt.Errorf("read service %q: %w", name, err)
	}
	return a.hub.shown(name, view, index), nil
}

// Catalog returns which services have instances. It waits as Service does.
func (a *API) Catalog(ctx context.Context) (*CatalogState, error) {
	return a.AwaitCatalog(ctx, nil)
}

// AwaitCatalog waits as AwaitService does, for a change of any service.
func (a *API) AwaitCatalog(ctx context.Context, last *CatalogState) (*CatalogState, error) {
	a.hub.catalog()
	view, index, err := awaitState(ctx, a, a.hub.all, func(view *catalogView, index uint64) bool {
		return last == nil || index != last.Index || (view.stale == nil) != (last.Stale == nil)
	})
	if err != nil {
		return nil, fmt.Errorf("read the list of services: %w", err)
	}
	view.once.Do(func() {
		view.shown = &CatalogState{Names: view.names(), Index: index, Stale: view.stale, AsOf: view.asOf}
	})
	return view.shown, nil
}

// Node returns the node with a name, nil if there is none. It waits as Service does.
func (a *API) Node(ctx context.Context, name string) (*Node, error) {
	a.hub.catalog()
	view, _, err := awaitState(ctx, a, a.hub.all, func(*catalogView, uint64) bool { return true })
	if err != nil {
		return nil, fmt.Errorf("read node %q: %w", name, err)
	}
	on := view.byNode().byName[name]
	if on == nil {
		return nil, nil
	}
	n := on.best.identity(a.nodes())
	return &Node{n.Name, n.ID, n.Address, n.Meta}, nil
}

// awaitState waits until a cell has a state for which ok holds.
func awaitState[T any](ctx context.Context, a *API, c *cell[T], ok func(T, uint64) bool) (value T, index uint64, err error) {
	for {
		value, index, updated := c.observe()
		if index > 0 && ok(value, index) {
			return value, index, nil
		}
		select {
		case <-updated:
		case <-a.drain:
			return value, index, ErrStopping
		case <-ctx.Done():
			if index == 0 {
				return value, index, fmt.Errorf("%w: it has not answered yet: %w", registry.ErrUnavailable, ctx.Err())
			}
			return value, index, ctx.Err()
		}
	}
}

func (v *catalogView) names() []string {
	names := []string{}
	for name := range v.services.all() {
		if name != bareNodeService {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// shownState is the ServiceState of a view.
type shownState struct {
	view  *serviceView
	state *ServiceState
}

// shown returns the state that a view with an index is. It is made once.
func (h *hub) shown(name string, view *serviceView, index uint64) *ServiceState {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.services[name]
	if w != nil && w.shown.view == view && w.shown.state.Index == index {
		return w.shown.state
	}
	s := &ServiceState{Name: name, Index: index, Stale: view.stale, AsOf: view.asOf, Instances: make([]*Instance, len(view.entries))}
	for n, e := range view.entries {
		s.Instances[n] = e.instance(h.byNode)
	}
	if w != nil {
		w.shown = shownState{view, s}
	}
	return s
}

func (e *entry) instance(nodes *table[*nodeState]) *Instance {
	n := e.identity(nodes)
	i := &Instance{ServiceInfo: e.info, Note: e.note, Node: &Node{n.Name, n.ID, n.Address, n.Meta},
		Weights: Weights(e.record.Weights), Library: e.fromLibrary, NoPort: e.record.Port == 0, Health: "passing"}
	checks := e.checks
	if own := nodes.get(e.record.Node.Name); own != nil && !e.isNode() {
		checks = slices.Concat(checks, own.checks)
	}
	for _, c := range checks {
		i.Checks = append(i.Checks, Check{c.CheckID, c.Name, c.Status, c.Output})
		i.Health = string(worse(registry.Status(i.Health), registry.Status(c.Status)))
	}
	return i
}
