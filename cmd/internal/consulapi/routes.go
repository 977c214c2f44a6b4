package consulapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// serviceMeta says of which state an answer is.
type serviceMeta struct {
	index uint64
	stale error
	asOf  time.Time
}

// read answers a read of the catalog. rest is what follows its path.
type read func(r *http.Request, q *query, rest string) (any, *serviceMeta, error)

// call answers a request about the agent. A nil answer is an empty body.
type call func(w http.ResponseWriter, r *http.Request, rest string) (any, error)

// route is one path of the API. A path that ends with a slash has something after it.
type route struct {
	method string
	path   string
	read   read
	call   call
}

func (a *API) routes() http.Handler {
	all := []route{
		{"GET", "/v1/catalog/services", a.catalogServices, nil},
		{"GET", "/v1/catalog/service/", a.catalogService, nil},
		{"GET", "/v1/catalog/nodes", a.catalogNodes, nil},
		{"GET", "/v1/catalog/node/", a.catalogNode, nil},
		{"GET", "/v1/catalog/node-services/", a.catalogNodeServices, nil},
		{"GET", "/v1/health/service/", a.healthService, nil},
		{"GET", "/v1/health/checks/", a.healthChecks, nil},
		{"GET", "/v1/health/state/", a.healthState, nil},
		{"GET", "/v1/health/node/", a.healthNode, nil},
		{"GET", "/v1/catalog/datacenters", nil, a.datacenters},
		{"PUT", "/v1/catalog/register", nil, a.catalogRegister},
		{"PUT", "/v1/catalog/deregister", nil, a.catalogDeregister},
		{"GET", "/v1/events/", nil, a.events},
		{"GET", "/v1/status/leader", nil, a.leader},
		{"GET", "/v1/status/peers", nil, a.peers},
		{"GET", "/v1/agent/self", nil, a.agentSelf},
		{"GET", "/v1/agent/host", nil, a.agentHost},
		{"GET", "/v1/agent/members", nil, a.agentMembers},
		{"GET", "/v1/agent/services", nil, a.agentServices},
		{"GET", "/v1/agent/service/", nil, a.agentService},
		{"GET", "/v1/agent/checks", nil, a.agentChecks},
		{"GET", "/v1/agent/health/service/id/", nil, a.agentHealthByID},
		{"GET", "/v1/agent/health/service/name/", nil, a.agentHealthByName},
		{"PUT", "/v1/agent/service/register", nil, a.registerService},
		{"PUT", "/v1/agent/service/deregister/", nil, a.deregisterService},
		{"PUT", "/v1/agent/service/maintenance/", nil, a.serviceMaintenance},
		{"PUT", "/v1/agent/maintenance", nil, a.agentMaintenance},
		{"PUT", "/v1/agent/check/register", nil, a.registerCheck},
		{"PUT", "/v1/agent/check/deregister/", nil, a.deregisterCheck},
		{"PUT", "/v1/agent/check/pass/", nil, a.updateTTL("passing")},
		{"PUT", "/v1/agent/check/warn/", nil, a.updateTTL("warning")},
		{"PUT", "/v1/agent/check/fail/", nil, a.updateTTL("critical")},
		{"PUT", "/v1/agent/check/update/", nil, a.updateCheck},
	}
	// The longest path first, so that agent/service/register is no service's ID.
	slices.SortStableFunc(all, func(x, y route) int { return len(y.path) - len(x.path) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, route := range all {
			rest, ok := route.match(r.URL.Path)
			if !ok {
				continue
			}
			if r.Method != route.method {
				w.Header().Set("Allow", "OPTIONS,"+route.method)
				if r.Method != http.MethodOptions {
					fail(w, &httpError{http.StatusMethodNotAllowed, "method " + r.Method + " not allowed"})
				}
				return
			}
			a.serve(w, r, route, rest)
			return
		}
		fail(w, unknownPath(r.URL.Path))
	})
}

func (rt route) match(path string) (rest string, ok bool) {
	if strings.HasSuffix(rt.path, "/") {
		if rest, ok = strings.CutPrefix(path, rt.path); ok {
			return rest, true
		}
		return "", path == strings.TrimSuffix(rt.path, "/")
	}
	return "", path == rt.path || path == rt.path+"/"
}

// unknownPath is the answer for what this API does not have. For KV and the like it is
// no 404: clients take that for a key that does not exist, and ask again at once.
func unknownPath(path string) error {
	for _, area := range []string{"kv", "session", "acl", "connect", "event", "query", "txn", "config", "intention", "coordinate"} {
		if strings.HasPrefix(path, "/v1/"+area+"/") || path == "/v1/"+area {
			return &httpError{http.StatusNotImplemented, "Rollcall does not have /v1/" + area}
		}
	}
	return notFound("Invalid URL path: not a recognized HTTP API endpoint")
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, route route, rest string) {
	if dc := r.URL.Query().Get("dc"); dc != "" && dc != a.config.Datacenter {
		fail(w, &httpError{http.StatusInternalServerError, "No path to datacenter"})
		return
	}
	if route.call != nil {
		answer, err := route.call(w, r, rest)
		switch {
		case err != nil:
			fail(w, err)
		case answer != nil:
			writeJSON(w, http.StatusOK, answer, r.URL.Query().Has("pretty"))
		}
		return
	}
	q, err := a.parseQuery(r)
	if err != nil {
		fail(w, err)
		return
	}
	answer, meta, err := route.read(r, q, rest)
	if err != nil {
		fail(w, err)
		return
	}
	h := w.Header()
	h.Set("X-Consul-Index", strconv.FormatUint(max(meta.index, 1), 10))
	h.Set("X-Consul-KnownLeader", strconv.FormatBool(meta.stale == nil))
	var age time.Duration
	if meta.stale != nil {
		age = max(0, time.Since(meta.asOf))
	}
	h.Set("X-Consul-LastContact", strconv.FormatInt(age.Milliseconds(), 10))
	if q.values.Has("cached") { // each answer is from memory
		h.Set("X-Cache", "HIT")
		h.Set("Age", strconv.FormatInt(int64(age/time.Second), 10))
	}
	writeJSON(w, http.StatusOK, answer, q.pretty)
}

func writeJSON(w http.ResponseWriter, code int, value any, pretty bool) {
	var text []byte
	var err error
	if pretty {
		text, err = json.MarshalIndent(value, "", "    ")
	} else {
		text, err = json.Marshal(value)
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // the client has gone
}

// fail answers with an error, as plain text.
func fail(w http.ResponseWriter, err error) {
	code, text := http.StatusInternalServerError, err.Error()
	var known *httpError
	switch {
	case errors.As(err, &known):
		code = known.code
	case errors.Is(err, registry.ErrInvalidService):
		code, text = http.StatusBadRequest, "Invalid service: "+text
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text))
}

// firstStateWait is how long a read waits for the first state of what it asks for.
const firstStateWait = 3 * time.Second

func (a *API) readService(r *http.Request, q *query, name string) (*serviceView, *serviceMeta, error) {
	c, done, err := a.hub.read(name)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	if q.index != 0 {
		a.nodes() // what nodes say wakes the query
	}
	view, index, err := block(a, r, q, c)
	if err != nil {
		return nil, nil, err
	}
	a.awaitNodes(r.Context())
	meta := &serviceMeta{index, view.stale, view.asOf}
	return view, meta, q.refuseStale(meta)
}

// awaitNodes waits until it is known what nodes say of themselves.
func (a *API) awaitNodes(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstStateWait)
	defer cancel()
	for _, name := range nodeServices {
		if c, err := a.hub.service(name); err == nil {
			c.await(ctx, a.drain, 0)
		}
	}
}

func (a *API) readCatalog(r *http.Request, q *query, c *cell[*catalogView]) (*catalogView, *serviceMeta, error) {
	a.hub.catalog()
	view, index, err := block(a, r, q, c)
	if err != nil {
		return nil, nil, err
	}
	meta := &serviceMeta{index, view.stale, view.asOf}
	return view, meta, q.refuseStale(meta)
}

func (q *query) refuseStale(m *serviceMeta) error {
	if q.consistent && m.stale != nil {
		return &httpError{http.StatusInternalServerError, "No cluster leader: " + m.stale.Error()}
	}
	return nil
}

var errTooManyBlocked = &httpError{http.StatusTooManyRequests, "too many blocking queries"}

// block returns the state of a cell once its index is greater than that of the query,
// or when its wait has passed. While nothing is known it fails: that is no empty list.
func block[T any](a *API, r *http.Request, q *query, c *cell[T]) (value T, index uint64, err error) {
	first, cancel := context.WithTimeout(r.Context(), firstStateWait)
	defer cancel()
	value, index = c.await(first, nil, 0)
	if index == 0 {
		return value, 0, &httpError{http.StatusInternalServerError, "No cluster leader: the backend has not answered yet"}
	}
	if q.index == 0 || index > q.index {
		return value, index, nil
	}
	select {
	case a.blocked <- struct{}{}:
		defer func() { <-a.blocked }()
	default:
		return value, 0, errTooManyBlocked
	}
	ctx, cancel := context.WithTimeout(r.Context(), q.wait)
	defer cancel()
	value, index = c.await(ctx, a.drain, q.index)
	return value, index, nil
}
