package consulapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/rollcall-sd/rollcall/internal/probing"
	"github.com/rollcall-sd/rollcall/internal/turns"
	"github.com/rollcall-sd/rollcall/registry"
)

// agent keeps registrations alive and runs their checks.
//
// Writes to the backend that concern one service run one after the other (turn).
// Between them, agent.mu guards everything.
type agent struct {
	api    *API
	runs   *probing.Scheduler
	prober *prober
	loops  sync.WaitGroup // the retries and what timers start
	turns  turns.Turns    // of the writes of a service, by its ID
	retry  chan struct{}  // something is to be published again; has room for one

	mu       sync.Mutex
	closed   bool
	services map[string]*service // by the ID on this node
	checks   map[string]*check   // by ID, those of the node included
	failed   map[string]bool     // services whose status could not be published
	changed  chan struct{}       // closed when a service changes
}

// service is a registration that this daemon keeps alive.
type service struct {
	id          string // on this node
	info        registry.ServiceInfo
	record      record
	checks      []string              // IDs, in the order of the registration
	maintenance *string               // the reason, while it is in maintenance; written in the service's turn
	static      map[string]checkState // the states of checks that do not run; nil if this daemon runs them
	published   published
	stopNotify  func()
}

// published is what the backend has of a service's checks.
type published struct {
	status   registry.Status
	statuses string // of each check
	note     string
	unknown  bool // a write failed, and may have been made nevertheless
}

func newAgent(a *API, runs *probing.Scheduler) *agent {
	g := &agent{
		api: a, runs: runs, prober: newProber(guard{a.config.CheckAllow}), retry: make(chan struct{}, 1),
		services: make(map[string]*service), checks: make(map[string]*check), failed: make(map[string]bool), changed: make(chan struct{}),
	}
	g.loops.Go(g.retryLoop)
	return g
}

// takeTurn waits until no other write of a service is under way, or until ctx ends.
func (g *agent) takeTurn(ctx context.Context, id string) (done func(), err error) {
	done, err = g.turns.Take(ctx, g.api.ctx.Done(), id)
	if err == turns.ErrStopped {
		err = registry.ErrClosed
	}
	if err != nil {
		return nil, fmt.Errorf("service %q: waiting for an earlier write: %w", id, err)
	}
	return done, nil
}

// spawn runs f until the agent closes. It does nothing once the agent is closed.
func (g *agent) spawn(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.loops.Go(f)
	}
}

// callContext bounds a call of the backend that no request waits for.
func (g *agent) callContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(g.api.ctx, g.api.config.CallTimeout)
}

// own is the identity of this daemon's node.
func (g *agent) own() nodeIdentity {
	c := &g.api.config
	meta := map[string]string{"consul-network-segment": "", "consul-version": c.Version}
	maps.Copy(meta, c.NodeMeta)
	return nodeIdentity{Name: c.Node, ID: c.NodeID, Address: c.Address, Meta: meta}
}

// register registers a service, or replaces the one with its ID. An identical
// registration writes nothing.
func (g *agent) register(ctx context.Context, d *serviceDefinition, replaceChecks bool) error {
	definitions, err := d.checkList()
	if err != nil {
		return err
	}
	done, err := g.takeTurn(ctx, d.ID)
	if err != nil {
		return err
	}
	defer done()
	g.mu.Lock()
	old := g.services[d.ID]
	for _, c := range definitions {
		if other := g.checks[c.CheckID]; other != nil && other.serviceID != d.ID {
			g.mu.Unlock()
			return badRequest("Invalid check: the ID %q is that of another service's check", c.CheckID)
		}
	}
	next := &service{id: d.ID}
	states := make(map[string]checkState)
	initial := make(map[string]string)
	var records []checkRecord
	for _, c := range definitions {
		records = append(records, c.record())
		initial[c.CheckID] = c.Status
	}
	if old != nil {
		next.maintenance = old.maintenance
		if !replaceChecks {
			for _, r := range old.record.Checks {
				if !slices.ContainsFunc(records, func(c checkRecord) bool { return c.ID == r.ID }) {
					records = append(records, r)
				}
			}
		}
	}
	for _, r := range records {
		next.checks = append(next.checks, r.ID)
		switch existing := g.checks[r.ID]; {
		case existing != nil:
			states[r.ID] = existing.state
		case initial[r.ID] != "":
			states[r.ID] = checkState{Status: initial[r.ID]}
		default:
			states[r.ID] = checkState{Status: "critical"}
		}
	}
	g.mu.Unlock()

	next.record = d.record(g.own(), records)
	if err := next.makeInfo(d); err != nil {
		return err
	}
	if old != nil {
		next.info.ID = old.info.ID
		if old.sameAs(next) {
			return nil
		}
	} else if next.info.ID, err = g.freeID(ctx, next.info.Name, d.ID); err != nil {
		return err
	}
	return g.write(ctx, next, old, states)
}

// record is what the backend is to hold of a registration beside ServiceInfo.
func (s *serviceDefinition) record(node nodeIdentity, checks []checkRecord) record {
	r := record{
		Node: node, ID: s.ID, Address: s.Address, Port: s.Port, TaggedAddresses: s.TaggedAddresses,
		Weights: weightsJSON{Passing: 1, Warning: 1}, EnableTagOverride: s.EnableTagOverride, Locality: s.Locality, Kind: s.Kind, Proxy: s.Proxy, Checks: checks,
	}
	if s.Weights != nil {
		r.Weights = *s.Weights
	}
	return r
}

// makeInfo sets the service's ServiceInfo, without its ID.
func (s *service) makeInfo(d *serviceDefinition) error {
	text, err := s.record.encode()
	if err != nil {
		return err
	}
	s.info = registry.ServiceInfo{
		Name: d.Name, Address: d.Address, Port: d.Port, Metadata: d.Meta, Tags: d.Tags, Weight: s.record.Weights.Passing,
		Extensions: map[string]string{extension: text},
	}
	if s.info.Address == "" {
		s.info.Address = s.record.Node.Address
	}
	if s.info.Port == 0 {
		s.info.Port = noPort
	}
	return nil
}

// sameAs reports whether two registrations of a service say the same.
func (s *service) sameAs(t *service) bool {
	a, b := s.info, t.info
	a.Status, b.Status = "", ""
	return len(a.Tags) == len(b.Tags) && len(a.Metadata) == len(b.Metadata) && (a.Metadata == nil) == (b.Metadata == nil) &&
		slices.Equal(a.Tags, b.Tags) && maps.Equal(a.Metadata, b.Metadata) && a.Extensions[extension] == b.Extensions[extension] &&
		a.Name == b.Name && a.Address == b.Address && a.Port == b.Port && a.Weight == b.Weight && reflect.DeepEqual(s.checks, t.checks)
}

// freeID returns the ID in the backend of a service: its own, unless an instance that
// is not of this node has it.
func (g *agent) freeID(ctx context.Context, name, id string) (string, error) {
	list, err := g.api.config.Backend.Instances(ctx, name)
	if err != nil {
		return "", err
	}
	for _, i := range list {
		if r, ok := recordOf(i.ServiceInfo); i.ID == id && (!ok || r.Node.Name != g.api.config.Node) {
			return g.scopedID(id), nil
		}
	}
	return id, nil
}

func (g *agent) scopedID(id string) string { return id + "@" + g.api.config.Node }

// write registers a service with the backend and puts it in the place of old. The
// caller holds the service's turn.
func (g *agent) write(ctx context.Context, next, old *service, states map[string]checkState) error {
	p := next.verdict(states)
	next.info.Status = p.status
	// What was published stays with a registration that names no status.
	kept := old != nil && old.published == p && old.info.ID == next.info.ID && old.info.Name == next.info.Name
	if kept {
		next.info.Status = ""
	}
	if old != nil && old.stopNotify != nil {
		old.stopNotify()
	}
	backend := g.api.config.Backend
	err := backend.Register(ctx, next.info)
	registered := err == nil
	if registered && p.note != "" && !kept {
		if err = backend.SetStatus(ctx, next.info.ID, p.status, p.note); err != nil {
			p.unknown = true
		}
	}
	if err != nil && (old == nil || !registered) {
		if old != nil { // a failed replacement leaves the earlier one
			old.stopNotify = backend.NotifyLost(old.info.ID, func(why error) { g.spawn(func() { g.lost(old, why) }) })
		} else {
			_ = backend.Deregister(context.WithoutCancel(ctx), next.info.ID) // what may have been written expires
		}
		return err
	}
	next.published = p
	next.stopNotify = backend.NotifyLost(next.info.ID, func(why error) { g.spawn(func() { g.lost(next, why) }) })
	g.install(next, old, states)
	g.noteChange()
	if err != nil { // the replacement is registered, and its status is written later
		g.publishLater(next.id)
		return err
	}
	g.awaitShown(ctx, next)
	return nil
}

// awaitShown waits until reads show what was written of a service.
func (g *agent) awaitShown(ctx context.Context, s *service) {
	g.api.hub.awaitWrite(ctx, s.info.Name, func(v *serviceView) bool {
		return slices.ContainsFunc(v.entries, func(e *entry) bool {
			return e.info.ID == s.info.ID && e.info.Extensions[extension] == s.info.Extensions[extension] &&
				(e.info.Status == s.published.status && e.note == s.published.note || e.info.Status == registry.StatusDraining)
		})
	})
}

// install puts a service and its checks in the place of old.
func (g *agent) install(next, old *service, states map[string]checkState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.services[next.id] = next
	if old != nil {
		for _, r := range old.record.Checks {
			if !slices.Contains(next.checks, r.ID) {
				g.endCheck(r.ID)
			}
		}
	}
	if next.static != nil {
		return
	}
	for _, r := range next.record.Checks {
		existing := g.checks[r.ID]
		if existing != nil && reflect.DeepEqual(existing.record, r) {
			continue
		}
		state := states[r.ID]
		if existing != nil {
			state = existing.state
		}
		g.endCheck(r.ID)
		c, err := newCheck(r, next.id, state)
		if err != nil {
			continue // its texts were made by this package
		}
		g.startCheck(c)
	}
}

// changes returns a channel that is closed when a service changes.
func (g *agent) changes() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

func (g *agent) noteChange() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.noteChangeLocked()
}

func (g *agent) noteChangeLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// find returns a service by its ID on this node.
func (g *agent) find(id string) *service {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.services[id]
}

// deregister ends a service. It reports false for an unknown ID.
func (g *agent) deregister(ctx context.Context, id string) (found bool, err error) {
	done, err := g.takeTurn(ctx, id)
	if err != nil {
		return true, err
	}
	defer done()
	s := g.find(id)
	if s == nil {
		return false, nil
	}
	return true, g.end(ctx, s)
}

// end deregisters a service. The caller holds its turn.
func (g *agent) end(ctx context.Context, s *service) error {
	if s.stopNotify != nil {
		s.stopNotify()
	}
	g.forget(s)
	if err := g.api.config.Backend.Deregister(ctx, s.info.ID); err != nil {
		return err
	}
	g.api.hub.awaitWrite(ctx, s.info.Name, func(v *serviceView) bool {
		return !slices.ContainsFunc(v.entries, func(e *entry) bool { return e.info.ID == s.info.ID })
	})
	return nil
}

// forget ends the checks of a service and no longer knows it.
func (g *agent) forget(s *service) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.services[s.id] != s {
		return
	}
	delete(g.services, s.id)
	delete(g.failed, s.id)
	for _, id := range s.checks {
		g.endCheck(id)
	}
	g.noteChangeLocked()
}

// statesOf returns the states of a service's checks.
func (g *agent) statesOf(s *service) map[string]checkState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.statesLocked(s)
}

func (g *agent) statesLocked(s *service) map[string]checkState {
	if s.static != nil {
		return maps.Clone(s.static)
	}
	states := make(map[string]checkState)
	for _, id := range s.checks {
		if c := g.checks[id]; c != nil {
			states[id] = c.state
		}
	}
	return states
}

// leave deregisters everything.
func (g *agent) leave(ctx context.Context) error {
	g.mu.Lock()
	ids := slices.Collect(maps.Keys(g.services))
	g.mu.Unlock()
	failures := make([]error, len(ids))
	var leaving sync.WaitGroup
	room := make(chan struct{}, 64)
	for n, id := range ids {
		room <- struct{}{}
		leaving.Go(func() {
			defer func() { <-room }()
			_, failures[n] = g.deregister(ctx, id)
		})
	}
	leaving.Wait()
	return errors.Join(failures...)
}

// close ends checks, timers and retries, and waits for them.
func (g *agent) close() {
	g.mu.Lock()
	g.closed = true
	for id := range g.checks {
		g.endCheck(id)
	}
	for _, s := range g.services {
		if s.stopNotify != nil {
			s.stopNotify()
		}
	}
	g.mu.Unlock()
	g.api.cancel()
	g.runs.Close()
	g.loops.Wait()
}
