package consulapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
)

// catalogRegistration is the body of catalog/register.
type catalogRegistration struct {
	ID, Node, Address, Datacenter string
	NodeMeta                      map[string]string
	SkipNodeUpdate                bool
	Service                       *serviceDefinition
	Check                         *catalogCheck
	Checks                        []*catalogCheck
}

// catalogCheck is a check that does not run: its status stays as it is written.
type catalogCheck struct {
	Node, CheckID, Name, Status, Notes, Output, ServiceID, ServiceName string
	Definition                                                         checkDefinitionJSON
}

// bareNodeService is the service that stands for a node of the catalog that has none.
// Answers leave it out of the lists of services.
const bareNodeService = "rollcall-node"

// catalogRegister writes a node and one of its services. This daemon keeps it alive.
func (a *API) catalogRegister(w http.ResponseWriter, r *http.Request, _ string) (any, error) {
	var c catalogRegistration
	if err := decodeBody(w, r, &c); err != nil {
		return nil, err
	}
	switch {
	case c.Node == "":
		return nil, badRequest("Must provide node and address")
	case c.Address == "" && !c.SkipNodeUpdate:
		return nil, badRequest("Must provide address if SkipNodeUpdate is not set")
	case c.Datacenter != "" && c.Datacenter != a.config.Datacenter:
		return nil, &httpError{http.StatusInternalServerError, "No path to datacenter"}
	}
	if c.Service != nil {
		if err := c.Service.validate(); err != nil {
			return nil, err
		}
	}
	ofNode, ofService := newStaticChecks(), newStaticChecks()
	for _, check := range c.checks() {
		into := ofNode
		if check.ServiceID != "" || c.Service != nil && check.ServiceName != "" {
			into = ofService
		}
		if err := into.add(check); err != nil {
			return nil, err
		}
	}
	node := nodeIdentity{Name: c.Node, ID: c.ID, Address: c.Address, Meta: c.NodeMeta}
	if err := a.agent.registerNode(r.Context(), node, c.SkipNodeUpdate, ofNode); err != nil {
		return nil, err
	}
	if c.Service == nil {
		return true, a.agent.addStaticChecks(r.Context(), c.Node, c.checks())
	}
	node.Address = cmp.Or(node.Address, c.Service.Address, a.config.Address)
	return true, a.agent.registerFor(r.Context(), node, c.Service, ofService)
}

func (c *catalogRegistration) checks() []*catalogCheck {
	return slices.DeleteFunc(append([]*catalogCheck{c.Check}, c.Checks...), func(c *catalogCheck) bool { return c == nil })
}

// addStaticChecks adds checks to services that a node has already.
func (g *agent) addStaticChecks(ctx context.Context, node string, checks []*catalogCheck) error {
	for _, c := range checks {
		if c.ServiceID == "" {
			continue
		}
		added := newStaticChecks()
		if err := added.add(c); err != nil {
			return err
		}
		key := catalogKey(node, c.ServiceID)
		done, err := g.takeTurn(ctx, key)
		if err != nil {
			return err
		}
		s := g.find(key)
		if s == nil {
			done()
			return &httpError{http.StatusInternalServerError, fmt.Sprintf("Unknown service ID %q of node %q", c.ServiceID, node)}
		}
		all := added.keep(s)
		err = g.setChecks(ctx, s, all.records, all.states)
		done()
		if err != nil {
			return err
		}
	}
	return nil
}

// staticChecks are checks that do not run.
type staticChecks struct {
	records []checkRecord
	states  map[string]checkState
}

func newStaticChecks() *staticChecks { return &staticChecks{states: make(map[string]checkState)} }

func (s *staticChecks) add(c *catalogCheck) error {
	id := cmp.Or(c.CheckID, c.Name)
	if id == "" {
		return badRequest("Missing check ID")
	}
	if c.Status != "" && !isStatus(c.Status) {
		return badRequest("Status for checks must 'passing', 'warning', 'critical'")
	}
	s.set(checkRecord{ID: id, Name: cmp.Or(c.Name, id), Notes: c.Notes, Definition: c.Definition}, checkState{cmp.Or(c.Status, "critical"), c.Output})
	return nil
}

func (s *staticChecks) set(r checkRecord, state checkState) {
	if i := slices.IndexFunc(s.records, func(x checkRecord) bool { return x.ID == r.ID }); i >= 0 {
		s.records[i] = r
	} else {
		s.records = append(s.records, r)
	}
	s.states[r.ID] = state
}

// keep adds what a service has and the new checks do not name.
func (s *staticChecks) keep(old *service) *staticChecks {
	if old == nil {
		return s
	}
	all := newStaticChecks()
	for _, r := range old.record.Checks {
		all.set(r, old.static[r.ID])
	}
	for _, r := range s.records {
		all.set(r, s.states[r.ID])
	}
	return all
}

// registerNode writes a node. With keep, one that is there stays as it is, apart from
// its checks.
func (g *agent) registerNode(ctx context.Context, node nodeIdentity, keep bool, checks *staticChecks) error {
	if node.Name == g.api.config.Node {
		return nil // this daemon's own
	}
	if old := g.find(catalogKey(node.Name, bareNodeService)); old != nil && keep {
		node = old.record.Node
	}
	node.Address = cmp.Or(node.Address, g.api.config.Address)
	return g.registerFor(ctx, node, &serviceDefinition{ID: bareNodeService, Name: bareNodeService}, checks)
}

// key is the ID in agent.services of a service on another node.
func catalogKey(node, id string) string { return "\x00" + node + "\x00" + id }

// registerFor registers a service on another node. Its checks do not run.
func (g *agent) registerFor(ctx context.Context, node nodeIdentity, d *serviceDefinition, checks *staticChecks) error {
	key := catalogKey(node.Name, d.ID)
	done, err := g.takeTurn(ctx, key)
	if err != nil {
		return err
	}
	defer done()
	old := g.find(key)
	checks = checks.keep(old)
	s := &service{id: key, record: d.record(node, checks.records), static: checks.states}
	s.record.FromCatalog = true
	for _, c := range checks.records {
		s.checks = append(s.checks, c.ID)
	}
	if err := s.makeInfo(d); err != nil {
		return err
	}
	s.info.ID = d.ID + "@" + node.Name
	if old != nil && old.sameAs(s) && s.verdict(checks.states) == old.published {
		return nil
	}
	return g.write(ctx, s, old, checks.states)
}

// catalogDeregister removes a node with all that is on it, one of its services, or one
// of its checks. What is unknown is no error.
func (a *API) catalogDeregister(w http.ResponseWriter, r *http.Request, _ string) (any, error) {
	var body struct{ Node, ServiceID, CheckID, Datacenter string }
	if err := decodeBody(w, r, &body); err != nil {
		return nil, err
	}
	if body.Node == "" {
		return nil, badRequest("Must provide node")
	}
	ctx := r.Context()
	names, err := a.config.Backend.Services(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		list, err := a.config.Backend.Instances(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			e := a.newEntry(i.ServiceInfo, i.Note)
			if e.record.Node.Name != body.Node || body.ServiceID != "" && e.record.ID != body.ServiceID {
				continue
			}
			if body.CheckID != "" {
				err = a.removeCheck(ctx, e, body.CheckID)
			} else {
				err = a.removeInstance(ctx, e)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return true, nil
}

// removeInstance deregisters an instance, whichever process owns it.
func (a *API) removeInstance(ctx context.Context, e *entry) error {
	for _, key := range []string{e.record.ID, catalogKey(e.record.Node.Name, e.record.ID)} {
		if s := a.agent.find(key); s != nil && s.info.ID == e.info.ID {
			if s.id == nodeService {
				return nil // a daemon's own node stays while the daemon runs
			}
			_, err := a.agent.deregister(ctx, key)
			return err
		}
	}
	return a.config.Backend.Deregister(ctx, e.info.ID)
}

// removeCheck removes one check of an instance that this daemon keeps alive.
func (a *API) removeCheck(ctx context.Context, e *entry, checkID string) error {
	for _, key := range []string{e.record.ID, catalogKey(e.record.Node.Name, e.record.ID)} {
		done, err := a.agent.takeTurn(ctx, key)
		if err != nil {
			return err
		}
		defer done()
		s := a.agent.find(key)
		if s == nil || s.info.ID != e.info.ID {
			continue
		}
		return a.agent.setChecks(ctx, s, s.otherChecks(checkID), a.agent.statesOf(s))
	}
	if e.fromLibrary {
		return nil
	}
	return &httpError{http.StatusInternalServerError, "the check is kept by another daemon; remove it there"}
}
