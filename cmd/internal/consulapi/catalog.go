package consulapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/rollcall-sd/rollcall/registry"
)

const (
	serfHealth  = "serfHealth"
	drainPrefix = "_rollcall_drain:"
)

// newEntry makes the entry of an instance. note is that of its status.
func (a *API) newEntry(info registry.ServiceInfo, note string) *entry {
	e := &entry{info: info, note: note}
	r, ok := recordOf(info)
	if !ok {
		e.fromLibrary = true
		e.record = record{
			Node: nodeIdentity{Name: info.Address, Address: info.Address},
			ID:   info.ID, Address: info.Address, Port: info.Port,
			Weights: weightsJSON{Passing: info.Weight, Warning: 1},
		}
		e.checks = []checkJSON{e.check(checkRecord{ID: "service:" + info.ID, Name: serviceCheckName(info.Name)}, checkState{statusText(info.Status), note})}
		return e
	}
	e.record = r
	states := decodeNote(note, func(id string) bool {
		return slices.ContainsFunc(r.Checks, func(c checkRecord) bool { return c.ID == id })
	})
	shown := registry.StatusPassing // what the checks amount to
	add := func(c checkRecord, s checkState) {
		e.checks = append(e.checks, e.check(c, s))
		shown = worse(shown, registry.Status(s.Status))
	}
	for _, c := range r.Checks {
		s, ok := states[c.ID]
		if !ok {
			s = checkState{Status: "passing"}
			if len(states) == 0 && info.Status != registry.StatusDraining {
				s = checkState{string(info.Status), note}
			}
		}
		add(c, s)
	}
	for id, s := range states {
		if isMaintenance(id) {
			add(maintenanceCheck(r.ID, s.Output), checkState{Status: s.Status})
		}
	}
	switch {
	case info.Status == registry.StatusDraining:
		add(checkRecord{ID: drainPrefix + r.ID, Name: "Draining"}, checkState{"critical", "the instance is draining"})
	case worse(shown, info.Status) != shown: // set by hand, by its ID
		add(checkRecord{ID: "_rollcall_status:" + r.ID, Name: "Status set by an operator"}, checkState{string(info.Status), note})
	}
	return e
}

// worse returns the worse of two statuses.
func worse(a, b registry.Status) registry.Status {
	rank := func(s registry.Status) int {
		return slices.Index([]registry.Status{registry.StatusPassing, registry.StatusWarning, registry.StatusCritical}, s)
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// statusText is a status as Consul has it: an instance that drains is not to be called.
func statusText(s registry.Status) string {
	if s == registry.StatusDraining {
		return "critical"
	}
	return string(s)
}

func (e *entry) check(c checkRecord, s checkState) checkJSON {
	tags := e.info.Tags
	if tags == nil {
		tags = []string{}
	}
	j := checkJSON{
		Node: e.record.Node.Name, CheckID: c.ID, Name: c.Name, Status: s.Status, Notes: c.Notes, Output: s.Output,
		ServiceID: e.record.ID, ServiceName: e.info.Name, ServiceTags: tags, Type: c.Type,
		Interval: c.Definition.Interval, Timeout: c.Definition.Timeout, Definition: c.Definition,
	}
	if e.isNode() { // its checks are the node's
		j.ServiceID, j.ServiceName, j.ServiceTags = "", "", []string{}
	}
	return j
}

// withIndexes returns the checks with the entry's indexes.
func (e *entry) withIndexes(checks []checkJSON) []checkJSON {
	out := slices.Clone(checks)
	for i := range out {
		out[i].CreateIndex, out[i].ModifyIndex = e.createIndex, e.modifyIndex
	}
	return out
}

// nodeChecks are those of the node that an entry is on.
func (e *entry) nodeChecks() []checkJSON {
	if e.fromLibrary || e.record.FromCatalog {
		return nil
	}
	return []checkJSON{{
		Node: e.record.Node.Name, CheckID: serfHealth, Name: "Serf Health Status", Status: "passing",
		Output: "Agent alive and reachable", ServiceTags: []string{}, CreateIndex: e.createIndex, ModifyIndex: e.createIndex,
	}}
}

func (e *entry) allChecks() []checkJSON {
	return append(e.nodeChecks(), e.withIndexes(e.checks)...)
}

// nodes returns what is known of nodes, by name, and sees to it that it is known.
func (a *API) nodes() *table[*nodeState] {
	for _, name := range nodeServices {
		_, _ = a.hub.service(name) // with too many services nodes are as their services say
	}
	return a.hub.nodeStates()
}

// identity is what the node itself says, or else what the instance says of its node.
func (e *entry) identity(nodes *table[*nodeState]) nodeIdentity {
	if n := nodes.get(e.record.Node.Name); n != nil {
		return n.identity
	}
	return e.record.Node
}

func (e *entry) node(nodes *table[*nodeState], datacenter string) nodeJSON {
	n := e.identity(nodes)
	return nodeJSON{
		ID: n.ID, Node: n.Name, Address: n.Address, Datacenter: datacenter, TaggedAddresses: nodeAddresses(n), Meta: orEmpty(n.Meta),
		CreateIndex: e.createIndex, ModifyIndex: e.createIndex,
	}
}

func nodeAddresses(n nodeIdentity) map[string]string {
	addresses := map[string]string{"lan": n.Address, "wan": n.Address}
	if ip, err := netip.ParseAddr(n.Address); err == nil {
		family := "_ipv6"
		if ip.Is4() {
			family = "_ipv4"
		}
		addresses["lan"+family], addresses["wan"+family] = n.Address, n.Address
	}
	return addresses
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func tagsOf(info registry.ServiceInfo) []string {
	if info.Tags == nil {
		return []string{}
	}
	return info.Tags
}

func (e *entry) service() serviceJSON {
	return serviceJSON{
		ID: e.record.ID, Service: e.info.Name, Tags: tagsOf(e.info), Address: e.record.Address, TaggedAddresses: e.record.TaggedAddresses,
		Meta: e.info.Metadata, Port: e.record.Port, Weights: e.record.Weights, EnableTagOverride: e.record.EnableTagOverride,
		Locality: e.record.Locality, Kind: e.record.Kind, Proxy: e.record.Proxy,
		CreateIndex: e.createIndex, ModifyIndex: e.modifyIndex,
	}
}

func (e *entry) catalogService(nodes *table[*nodeState], datacenter string) catalogServiceJSON {
	n := e.identity(nodes)
	return catalogServiceJSON{
		ID: n.ID, Node: n.Name, Address: n.Address, Datacenter: datacenter, TaggedAddresses: nodeAddresses(n), NodeMeta: orEmpty(n.Meta),
		ServiceID: e.record.ID, ServiceName: e.info.Name, ServiceTags: tagsOf(e.info), ServiceAddress: e.record.Address,
		ServiceTaggedAddresses: e.record.TaggedAddresses, ServiceWeights: e.record.Weights, ServiceMeta: orEmpty(e.info.Metadata),
		ServicePort: e.record.Port, ServiceEnableTagOverride: e.record.EnableTagOverride, ServiceLocality: e.record.Locality, ServiceProxy: e.record.Proxy,
		CreateIndex: e.createIndex, ModifyIndex: e.modifyIndex,
	}
}

// isNode reports whether an entry stands for a node rather than for a service on it.
func (e *entry) isNode() bool {
	return e.info.Name == nodeService && e.record.ID == nodeService && !e.fromLibrary || e.info.Name == bareNodeService
}

// hasTags reports whether an instance has every tag.
func (e *entry) hasTags(tags []string) bool {
	for _, tag := range tags {
		if tag != "" && !slices.ContainsFunc(e.info.Tags, func(t string) bool { return strings.EqualFold(t, tag) }) {
			return false
		}
	}
	return true
}

// selected returns the entries that the parameters of a read select.
func (q *query) selected(nodes *table[*nodeState], entries []*entry) []*entry {
	var out []*entry
	for _, e := range entries {
		if e.hasTags(q.values["tag"]) && q.hasMeta(e.identity(nodes).Meta) {
			out = append(out, e)
		}
	}
	return out
}

func (a *API) healthService(r *http.Request, q *query, name string) (any, *serviceMeta, error) {
	if name == "" {
		return nil, nil, badRequest("Missing service name")
	}
	passing, err := q.isOn("passing")
	if err != nil {
		return nil, nil, err
	}
	view, meta, err := a.readService(r, q, name)
	if err != nil {
		return nil, nil, err
	}
	list := []healthEntry{}
	nodes := a.nodes()
	for _, e := range q.selected(nodes, view.entries) {
		h := healthEntry{Node: e.node(nodes, a.config.Datacenter), Service: e.service(), Checks: e.allChecks()}
		if n := nodes.get(e.record.Node.Name); n != nil && !e.isNode() {
			h.Checks = append(h.Checks, n.checks...)
		}
		if !passing || !slices.ContainsFunc(h.Checks, func(c checkJSON) bool { return c.Status != "passing" }) {
			list = append(list, h)
		}
	}
	out, err := filtered(q, list)
	return out, meta, err
}

func (a *API) healthChecks(r *http.Request, q *query, name string) (any, *serviceMeta, error) {
	if name == "" {
		return nil, nil, badRequest("Missing service name")
	}
	view, meta, err := a.readService(r, q, name)
	if err != nil {
		return nil, nil, err
	}
	list := []checkJSON{}
	for _, e := range q.selected(a.nodes(), view.entries) {
		list = append(list, e.withIndexes(e.checks)...)
	}
	out, err := filtered(q, list)
	return out, meta, err
}

func (a *API) catalogService(r *http.Request, q *query, name string) (any, *serviceMeta, error) {
	if name == "" {
		return nil, nil, badRequest("Missing service name")
	}
	view, meta, err := a.readService(r, q, name)
	if err != nil {
		return nil, nil, err
	}
	list := []catalogServiceJSON{}
	nodes := a.nodes()
	for _, e := range q.selected(nodes, view.entries) {
		list = append(list, e.catalogService(nodes, a.config.Datacenter))
	}
	out, err := filtered(q, list)
	return out, meta, err
}

func (a *API) catalogServices(r *http.Request, q *query, _ string) (any, *serviceMeta, error) {
	view, meta, err := a.readCatalog(r, q, a.hub.names)
	if err != nil {
		return nil, nil, err
	}
	out := make(map[string][]string)
	nodes := a.nodes()
	for name, entries := range view.services.all() {
		if name == bareNodeService {
			continue
		}
		var kept []*entry
		for _, e := range q.selected(nodes, entries) {
			ok, err := q.matches(e.catalogService(nodes, a.config.Datacenter))
			if err != nil {
				return nil, nil, err
			}
			if ok {
				kept = append(kept, e)
			}
		}
		if len(kept) > 0 {
			out[name] = tagUnion(kept)
		}
	}
	return out, meta, nil
}

func (a *API) catalogNodes(r *http.Request, q *query, _ string) (any, *serviceMeta, error) {
	view, meta, err := a.readCatalog(r, q, a.hub.nodes)
	if err != nil {
		return nil, nil, err
	}
	list := []nodeJSON{}
	nodes := a.nodes()
	lists := view.byNode()
	for _, name := range lists.names {
		e := lists.byName[name].best
		if q.hasMeta(e.identity(nodes).Meta) {
			list = append(list, e.node(nodes, a.config.Datacenter))
		}
	}
	out, err := filtered(q, list)
	return out, meta, err
}

// catalogNode answers with a node and its services by ID, catalogNodeServices with the
// same as a list. Of an unknown node both answer null.
func (a *API) catalogNode(r *http.Request, q *query, name string) (any, *serviceMeta, error) {
	node, list, meta, err := a.servicesOfNode(r, q, name)
	if err != nil || node == nil {
		return nil, meta, err
	}
	services := make(map[string]agentServiceJSON)
	for _, s := range list {
		services[s.ID] = s
	}
	return struct {
		Node     *nodeJSON
		Services map[string]agentServiceJSON
	}{node, services}, meta, nil
}

func (a *API) catalogNodeServices(r *http.Request, q *query, name string) (any, *serviceMeta, error) {
	node, list, meta, err := a.servicesOfNode(r, q, name)
	if err != nil || node == nil {
		return nil, meta, err
	}
	return struct {
		Node     *nodeJSON
		Services []agentServiceJSON
	}{node, list}, meta, nil
}

// servicesOfNode returns a node, nil if it is unknown, and the services on it that pass
// the filter.
func (a *API) servicesOfNode(r *http.Request, q *query, name string) (*nodeJSON, []agentServiceJSON, *serviceMeta, error) {
	if name == "" {
		return nil, nil, nil, badRequest("Missing node name")
	}
	view, meta, err := a.readCatalog(r, q, a.hub.all)
	if err != nil {
		return nil, nil, nil, err
	}
	on := view.byNode().byName[name]
	if on == nil {
		return nil, nil, meta, nil
	}
	list := []agentServiceJSON{}
	for _, e := range on.entries {
		if e.info.Name != bareNodeService {
			list = append(list, e.agentService(a.config.Datacenter))
		}
	}
	list, err = filtered(q, list)
	node := on.best.node(a.nodes(), a.config.Datacenter)
	return &node, list, meta, err
}

func (a *API) healthNode(r *http.Request, q *query, name string) (any, *serviceMeta, error) {
	if name == "" {
		return nil, nil, badRequest("Missing node name")
	}
	view, meta, err := a.readCatalog(r, q, a.hub.all)
	if err != nil {
		return nil, nil, err
	}
	list := []checkJSON{}
	if on := view.byNode().byName[name]; on != nil {
		list = on.entries[0].nodeChecks()
		for _, e := range on.entries {
			list = append(list, e.withIndexes(e.checks)...)
		}
	}
	out, err := filtered(q, list)
	return out, meta, err
}

func (a *API) healthState(r *http.Request, q *query, state string) (any, *serviceMeta, error) {
	switch {
	case state == "":
		return nil, nil, badRequest("Missing check state")
	case state != "any" && !isStatus(state):
		return nil, nil, badRequest("Invalid check state: '%s'", state)
	}
	view, meta, err := a.readCatalog(r, q, a.hub.all)
	if err != nil {
		return nil, nil, err
	}
	list := []checkJSON{}
	nodes := a.nodes()
	lists := view.byNode()
	for _, name := range lists.names {
		on := lists.byName[name]
		if !q.hasMeta(on.best.identity(nodes).Meta) {
			continue
		}
		list = append(list, on.best.nodeChecks()...)
		for _, e := range on.entries {
			list = append(list, e.withIndexes(e.checks)...)
		}
	}
	list = slices.DeleteFunc(list, func(c checkJSON) bool { return state != "any" && c.Status != state })
	out, err := filtered(q, list)
	return out, meta, err
}

func (e *entry) agentService(datacenter string) agentServiceJSON {
	return agentServiceJSON{
		ID: e.record.ID, Service: e.info.Name, Tags: tagsOf(e.info), Meta: orEmpty(e.info.Metadata), Port: e.record.Port,
		Address: e.record.Address, TaggedAddresses: e.record.TaggedAddresses, Weights: e.record.Weights,
		EnableTagOverride: e.record.EnableTagOverride, Locality: e.record.Locality, Kind: e.record.Kind, Proxy: e.record.Proxy, Datacenter: datacenter,
	}
}
