package consulapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"time"
)

func (a *API) registerService(w http.ResponseWriter, r *http.Request, _ string) (any, error) {
	var d serviceDefinition
	if err := decodeBody(w, r, &d); err != nil {
		return nil, err
	}
	if err := d.validate(); err != nil {
		return nil, err
	}
	if d.ID == nodeService {
		return nil, badRequest("Invalid service: the ID %q is that of the node itself", nodeService)
	}
	replace := false
	if query := r.URL.Query(); query.Has("replace-existing-checks") {
		text := query.Get("replace-existing-checks")
		on, err := strconv.ParseBool(text)
		if text != "" && err != nil {
			return nil, badRequest("Invalid value for ?replace-existing-checks")
		}
		replace = text == "" || on
	}
	return nil, a.agent.register(r.Context(), &d, replace)
}

func (a *API) deregisterService(_ http.ResponseWriter, r *http.Request, id string) (any, error) {
	if id == "" {
		return nil, badRequest("Missing service ID")
	}
	found, err := false, error(nil)
	if id != nodeService {
		found, err = a.agent.deregister(r.Context(), id)
	}
	if err == nil && !found {
		return nil, unknownService(id)
	}
	return nil, err
}

func unknownService(id string) error {
	return notFound("Unknown service ID %q. Ensure that the service ID is passed, not the service name.", id)
}

func unknownCheck(id string) error {
	return notFound("Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id)
}

func (a *API) serviceMaintenance(_ http.ResponseWriter, r *http.Request, id string) (any, error) {
	if id == "" {
		return nil, badRequest("Missing service ID")
	}
	return nil, a.setMaintenance(r, id)
}

func (a *API) agentMaintenance(_ http.ResponseWriter, r *http.Request, _ string) (any, error) {
	return nil, a.setMaintenance(r, nodeService)
}

func (a *API) setMaintenance(r *http.Request, id string) error {
	query := r.URL.Query()
	if query.Get("enable") == "" {
		return badRequest("Missing value for enable")
	}
	enable, err := strconv.ParseBool(query.Get("enable"))
	if err != nil {
		return badRequest("Invalid value for enable: %q", query.Get("enable"))
	}
	var reason *string
	if enable {
		text := cmp.Or(query.Get("reason"), "Maintenance mode is enabled for this service, but no reason was provided. This is a default message.")
		text = oneLine(text)
		reason = &text
	}
	done, err := a.agent.takeTurn(r.Context(), id)
	if err != nil {
		return err
	}
	defer done()
	s := a.agent.find(id)
	if s == nil {
		return unknownService(id)
	}
	a.agent.mu.Lock()
	s.maintenance = reason
	a.agent.mu.Unlock()
	return a.agent.publishStatus(r.Context(), s)
}

// registerCheck adds a check to a service, or to the node.
func (a *API) registerCheck(w http.ResponseWriter, r *http.Request, _ string) (any, error) {
	var c checkDefinition
	if err := decodeBody(w, r, &c); err != nil {
		return nil, err
	}
	c.CheckID = cmp.Or(c.CheckID, c.ID, c.Name)
	c.Name = cmp.Or(c.Name, c.CheckID)
	if c.CheckID == "" {
		return nil, badRequest("Missing check name")
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	serviceID := cmp.Or(c.ServiceID, nodeService)
	done, err := a.agent.takeTurn(r.Context(), serviceID)
	if err != nil {
		return nil, err
	}
	defer done()
	s := a.agent.find(serviceID)
	if s == nil {
		if c.ServiceID == "" {
			return nil, errNotStarted
		}
		return nil, badRequest("ServiceID %q does not exist", c.ServiceID)
	}
	states := a.agent.statesOf(s)
	if _, ok := states[c.CheckID]; !ok {
		if a.agent.hasCheck(c.CheckID) {
			return nil, badRequest("Invalid check: the ID %q is that of another service's check", c.CheckID)
		}
		states[c.CheckID] = checkState{Status: cmp.Or(c.Status, "critical")}
	}
	checks, next := slices.Clone(s.record.Checks), c.record()
	if i := slices.IndexFunc(checks, func(old checkRecord) bool { return old.ID == next.ID }); i >= 0 {
		if reflect.DeepEqual(checks[i], next) {
			return nil, nil // as for a service, nothing is written
		}
		checks[i] = next
	} else {
		checks = append(checks, next)
	}
	return nil, a.agent.setChecks(r.Context(), s, checks, states)
}

var errNotStarted = &httpError{http.StatusInternalServerError, "the node is not registered yet: the backend has not answered"}

func (g *agent) hasCheck(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.checks[id] != nil
}

// otherChecks returns the service's checks without one.
func (s *service) otherChecks(id string) []checkRecord {
	return slices.DeleteFunc(slices.Clone(s.record.Checks), func(c checkRecord) bool { return c.ID == id })
}

// setChecks replaces the checks of a service. The caller holds its turn.
func (g *agent) setChecks(ctx context.Context, s *service, checks []checkRecord, states map[string]checkState) error {
	next := *s
	next.stopNotify = nil
	next.record.Checks = checks
	next.checks = nil
	if s.static != nil {
		next.static = states
	}
	for _, c := range checks {
		next.checks = append(next.checks, c.ID)
	}
	text, err := next.record.encode()
	if err != nil {
		return err
	}
	next.info = s.info.Clone()
	next.info.Extensions[extension] = text
	return g.write(ctx, &next, s, states)
}

func (a *API) deregisterCheck(_ http.ResponseWriter, r *http.Request, id string) (any, error) {
	c := a.agent.check(id)
	if c == nil {
		return nil, unknownCheck(id)
	}
	done, err := a.agent.takeTurn(r.Context(), c.serviceID)
	if err != nil {
		return nil, err
	}
	defer done()
	s := a.agent.find(c.serviceID)
	if s == nil {
		return nil, unknownCheck(id)
	}
	return nil, a.agent.setChecks(r.Context(), s, s.otherChecks(id), a.agent.statesOf(s))
}

func (g *agent) check(id string) *check {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.checks[id]
}

func (a *API) updateTTL(status string) call {
	return func(_ http.ResponseWriter, r *http.Request, id string) (any, error) {
		return nil, a.update(r.Context(), id, checkState{status, r.URL.Query().Get("note")})
	}
}

func (a *API) updateCheck(w http.ResponseWriter, r *http.Request, id string) (any, error) {
	var body struct{ Status, Output string }
	if err := decodeBody(w, r, &body); err != nil {
		return nil, err
	}
	if !isStatus(body.Status) {
		return nil, badRequest("Invalid check status: '%s'", body.Status)
	}
	return nil, a.update(r.Context(), id, checkState{body.Status, body.Output})
}

func (a *API) update(ctx context.Context, id string, state checkState) error {
	for {
		c := a.agent.check(id)
		switch {
		case c == nil:
			return unknownCheck(id)
		case c.ttl == 0:
			return &httpError{http.StatusInternalServerError, fmt.Sprintf("CheckID %q does not have associated TTL", id)}
		}
		if ok, err := a.agent.update(ctx, c, state); ok {
			return err
		}
	}
}

// ownEntries returns the services of this daemon, by ID, with the states of their
// checks as they are here.
func (g *agent) ownEntries() []*entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []*entry
	for _, s := range g.services {
		states := g.statesLocked(s)
		e := &entry{info: s.info, record: s.record}
		for _, r := range s.record.Checks {
			e.checks = append(e.checks, e.check(r, states[r.ID]))
		}
		if s.maintenance != nil {
			e.checks = append(e.checks, e.check(maintenanceCheck(s.id, *s.maintenance), checkState{Status: "critical"}))
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b *entry) int { return cmp.Compare(a.record.ID, b.record.ID) })
	return out
}

func (a *API) agentServices(_ http.ResponseWriter, r *http.Request, _ string) (any, error) {
	q, err := a.parseQuery(r)
	if err != nil {
		return nil, err
	}
	out := make(map[string]agentServiceJSON)
	for _, e := range a.agent.ownEntries() {
		if e.record.ID == nodeService || e.record.FromCatalog {
			continue
		}
		s := e.agentService(a.config.Datacenter)
		ok, err := q.matches(s)
		if err != nil {
			return nil, err
		}
		if ok {
			out[s.ID] = s
		}
	}
	return out, nil
}

func (a *API) agentChecks(_ http.ResponseWriter, r *http.Request, _ string) (any, error) {
	q, err := a.parseQuery(r)
	if err != nil {
		return nil, err
	}
	out := make(map[string]checkJSON)
	for _, e := range a.agent.ownEntries() {
		for _, c := range e.checks {
			ok, err := q.matches(c)
			if err != nil {
				return nil, err
			}
			if ok {
				out[c.CheckID] = c
			}
		}
	}
	return out, nil
}

// agentService is one service, with a hash of what it says. A query with that hash
// blocks until it is another one.
func (a *API) agentService(w http.ResponseWriter, r *http.Request, id string) (any, error) {
	q, err := a.parseQuery(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), q.wait)
	defer cancel()
	for waits := false; ; {
		changed := a.agent.changes()
		e := a.ownEntry(id)
		if e == nil {
			return nil, notFound("unknown service ID: %s", id)
		}
		s := e.agentService(a.config.Datacenter)
		s.ContentHash = contentHash(s)
		if hash := q.values.Get("hash"); hash != s.ContentHash || ctx.Err() != nil {
			w.Header().Set("X-Consul-ContentHash", s.ContentHash)
			return s, nil
		}
		if !waits {
			select {
			case a.blocked <- struct{}{}:
				defer func() { <-a.blocked }()
			default:
				return nil, errTooManyBlocked
			}
			waits = true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-a.drain:
			cancel()
		}
	}
}

func (a *API) ownEntry(id string) *entry {
	for _, e := range a.agent.ownEntries() {
		if e.record.ID == id {
			return e
		}
	}
	return nil
}

func contentHash(s agentServiceJSON) string {
	text, err := json.Marshal(s)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// agentHealth is the worst status of services and their checks, also as the code of
// the answer: 200, 429 or 503, and 404 without one.
func (a *API) agentHealth(w http.ResponseWriter, r *http.Request, match func(*entry) bool, list bool) (any, error) {
	type state struct {
		AggregatedStatus string
		Service          agentServiceJSON
		Checks           []checkJSON
	}
	worstStatus, all := "passing", []state{}
	for _, e := range a.agent.ownEntries() {
		if e.record.ID == nodeService || !match(e) {
			continue
		}
		states := make(map[string]checkState)
		for _, c := range e.checks {
			states[c.CheckID] = checkState{Status: c.Status}
		}
		s := state{string(worst(states)), e.agentService(a.config.Datacenter), e.checks}
		if isMaintenance(lastCheck(e).CheckID) {
			s.AggregatedStatus = "maintenance"
		}
		all = append(all, s)
		if rank(s.AggregatedStatus) > rank(worstStatus) {
			worstStatus = s.AggregatedStatus
		}
	}
	code := map[string]int{"passing": 200, "warning": 429, "critical": 503, "maintenance": 503}[worstStatus]
	if len(all) == 0 {
		worstStatus, code = "critical", 404
	}
	if r.URL.Query().Get("format") == "text" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(worstStatus)) // the client has gone
		return nil, nil
	}
	var body any = all
	if !list && len(all) > 0 {
		body = all[0]
	} else if !list {
		body = state{AggregatedStatus: worstStatus, Checks: []checkJSON{}}
	}
	writeJSON(w, code, body, false)
	return nil, nil
}

func lastCheck(e *entry) checkJSON {
	if len(e.checks) == 0 {
		return checkJSON{}
	}
	return e.checks[len(e.checks)-1]
}

func rank(status string) int {
	return slices.Index([]string{"passing", "warning", "critical", "maintenance"}, status)
}

func (a *API) agentHealthByID(w http.ResponseWriter, r *http.Request, id string) (any, error) {
	return a.agentHealth(w, r, func(e *entry) bool { return e.record.ID == id }, false)
}

func (a *API) agentHealthByName(w http.ResponseWriter, r *http.Request, name string) (any, error) {
	return a.agentHealth(w, r, func(e *entry) bool { return e.info.Name == name }, true)
}

func (a *API) agentSelf(http.ResponseWriter, *http.Request, string) (any, error) {
	c := &a.config
	return map[string]any{
		"Config": map[string]any{
			"Datacenter": c.Datacenter, "PrimaryDatacenter": c.Datacenter, "NodeName": c.Node, "NodeID": c.NodeID,
			"Revision": "", "Server": true, "Version": c.Version,
		},
		"DebugConfig": map[string]any{"Datacenter": c.Datacenter, "NodeName": c.Node},
		"Coord":       nil,
		"Member":      a.member(),
		"Stats":       map[string]map[string]string{"runtime": {"goroutines": strconv.Itoa(runtime.NumGoroutine())}},
		"Meta":        map[string]string{},
		"xDS":         nil,
	}, nil
}

func (a *API) member() map[string]any {
	return map[string]any{
		"Name": a.config.Node, "Addr": a.config.Address, "Port": a.config.Port, "Status": 1,
		"Tags":        map[string]string{"role": "consul", "dc": a.config.Datacenter, "id": a.config.NodeID},
		"ProtocolMin": 1, "ProtocolMax": 5, "ProtocolCur": 2, "DelegateMin": 2, "DelegateMax": 5, "DelegateCur": 4,
	}
}

func (a *API) agentMembers(http.ResponseWriter, *http.Request, string) (any, error) {
	return []any{a.member()}, nil
}

func (a *API) agentHost(http.ResponseWriter, *http.Request, string) (any, error) {
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"Memory": map[string]any{}, "CPU": []any{}, "Disk": map[string]any{}, "Errors": nil, "CollectionTime": time.Now().UnixNano(),
		"Host": map[string]any{"hostname": name, "os": runtime.GOOS, "kernelArch": runtime.GOARCH, "hostid": a.config.NodeID},
	}, nil
}

func (a *API) datacenters(http.ResponseWriter, *http.Request, string) (any, error) {
	return []string{a.config.Datacenter}, nil
}

// leaderAddress is that of this daemon: every daemon on the backend is equal.
func (a *API) leaderAddress() string { return net.JoinHostPort(a.config.Address, "8300") }

func (a *API) leader(http.ResponseWriter, *http.Request, string) (any, error) {
	return a.leaderAddress(), nil
}

func (a *API) peers(http.ResponseWriter, *http.Request, string) (any, error) {
	return []string{a.leaderAddress()}, nil
}
