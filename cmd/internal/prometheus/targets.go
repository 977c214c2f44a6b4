package prometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/cmd/internal/consulapi"
	"github.com/rollcall-sd/rollcall/registry"
)

// TargetsPath is where the targets are served.
const TargetsPath = "/v1/prometheus/sd"

// DefaultMaxAge is how old the last known targets may be while the backend is
// unavailable, unless NewTargets gets another age.
const DefaultMaxAge = 5 * time.Minute

const (
	// firstStateWait is how long a request waits for the first state of a service.
	firstStateWait = 3 * time.Second
	// maxCachedAnswers and maxCachedBytes bound the answers that are kept.
	maxCachedAnswers = 256
	maxCachedBytes   = 16 << 20
)

// States are the states of services. *consulapi.API has them.
type States interface {
	Catalog(ctx context.Context) (*consulapi.CatalogState, error)
	Service(ctx context.Context, name string) (*consulapi.ServiceState, error)
}

// Targets answers with the instances of services as targets for Prometheus: those of all
// services, or of each ?service=, that have every ?tag=. Instances of any status are
// targets, with the status as a label.
//
// While the backend is unavailable the last known targets are answered. While nothing is
// known, and when what is known is older than the greatest age, the answer is 503, so
// that Prometheus keeps the targets that it has.
type Targets struct {
	states   States
	maxAge   time.Duration
	maxBytes int // of cached
	now      func() time.Time

	mu     sync.Mutex
	cached map[string]*targetList // by the key of a selection
	bytes  int                    // of cached
}

// targetList is an answer, and the states that it was made of.
type targetList struct {
	catalog  *consulapi.CatalogState // nil if services were asked for by name
	services []*consulapi.ServiceState
	body     []byte
	ends     []int     // where the part of each service ends in body
	asOf     time.Time // of the oldest stale state; zero if none is stale
	stale    error
}

// NewTargets returns the handler. Targets of states that are stale for longer than maxAge
// are not answered; 0 means DefaultMaxAge.
func NewTargets(states States, maxAge time.Duration) *Targets {
	if maxAge == 0 {
		maxAge = DefaultMaxAge
	}
	return &Targets{states: states, maxAge: maxAge, maxBytes: maxCachedBytes, now: time.Now, cached: make(map[string]*targetList)}
}

// ServeHTTP answers a request.
func (t *Targets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		if r.Method != http.MethodOptions {
			refuse(w, http.StatusMethodNotAllowed, "method "+r.Method+" not allowed")
		}
		return
	}
	s, err := parseSelection(r.URL.RawQuery)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), firstStateWait)
	defer cancel()
	list, err := t.list(ctx, s)
	if err == nil && list.stale != nil && t.now().Sub(list.asOf) > t.maxAge {
		err = fmt.Errorf("the targets are older than %s: %w", t.maxAge, list.stale)
	}
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(list.body)))
	_, _ = w.Write(list.body) // the client has gone
}

func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n")) // the client has gone
}

// selection says which instances are asked for.
type selection struct {
	services []string // sorted; empty means all that do not stand for nodes
	tags     []string // sorted
}

func parseSelection(query string) (s selection, err error) {
	if query == "" {
		return s, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return s, fmt.Errorf("the query cannot be read: %w", err)
	}
	s = selection{services: values["service"], tags: values["tag"]}
	if slices.Contains(s.services, "") || slices.Contains(s.tags, "") {
		return s, errors.New("service and tag must not be empty")
	}
	slices.Sort(s.services)
	s.services = slices.Compact(s.services)
	slices.Sort(s.tags)
	s.tags = slices.Compact(s.tags)
	return s, nil
}

// key is a text that no other selection has.
func (s selection) key() string {
	if len(s.services)+len(s.tags) == 0 {
		return ""
	}
	return fmt.Sprintf("%q %q", s.services, s.tags)
}

// includes reports whether an instance has every tag. As in Consul, case does not count.
func (s selection) includes(i *consulapi.Instance) bool {
	for _, tag := range s.tags {
		if !slices.ContainsFunc(i.Tags, func(t string) bool { return strings.EqualFold(t, tag) }) {
			return false
		}
	}
	return true
}

// list returns the answer for a selection. It is made only if a state has changed.
func (t *Targets) list(ctx context.Context, s selection) (*targetList, error) {
	next := &targetList{}
	key, names := s.key(), s.services
	old := t.lookUp(key)
	if len(names) == 0 {
		var err error
		if next.catalog, err = t.states.Catalog(ctx); err != nil {
			return nil, err
		}
		if old != nil && old.catalog == next.catalog {
			return old, nil
		}
		next.note(next.catalog.Stale, next.catalog.AsOf)
		names = next.catalog.Names
	}
	for _, name := range names {
		if len(s.services) == 0 && consulapi.StandsForNodes(name) {
			continue // they are targets only if asked for by name
		}
		state, err := t.states.Service(ctx, name)
		if err != nil {
			return nil, err
		}
		next.note(state.Stale, state.AsOf)
		next.services = append(next.services, state)
	}
	if old != nil && slices.Equal(old.services, next.services) {
		next.body, next.ends = old.body, old.ends
	} else if err := next.encode(s, old); err != nil {
		return nil, err
	}
	t.keep(key, next)
	return next, nil
}

func (l *targetList) note(stale error, asOf time.Time) {
	if stale != nil && (l.stale == nil || asOf.Before(l.asOf)) {
		l.stale, l.asOf = stale, asOf
	}
}

func (t *Targets) lookUp(key string) *targetList {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cached[key]
}

// keep caches an answer. If there is no room, others go.
func (t *Targets) keep(key string, l *targetList) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.cached[key]; old != nil {
		t.bytes -= len(old.body)
		delete(t.cached, key)
	}
	for other, old := range t.cached {
		if len(t.cached) < maxCachedAnswers && t.bytes+len(l.body) <= t.maxBytes {
			break
		}
		t.bytes -= len(old.body)
		delete(t.cached, other)
	}
	t.cached[key] = l
	t.bytes += len(l.body)
}

// target is one instance in an answer.
type target struct {
	Targets [1]string         `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// encode makes the body. The parts of services that have not changed since an older answer
// to the same selection are copied from it.
func (l *targetList) encode(s selection, old *targetList) error {
	parts := make(map[*consulapi.ServiceState][]byte)
	size := 0
	if old != nil {
		size = len(old.body)
		for n, state := range old.services {
			parts[state] = old.part(n)
		}
	}
	l.body = append(make([]byte, 0, size), '[')
	for _, state := range l.services {
		part, known := parts[state]
		if !known {
			var err error
			if part, err = encodeService(state, s); err != nil {
				return err
			}
		}
		if len(l.body) > 1 && len(part) > 0 {
			l.body = append(l.body, ',')
		}
		l.body = append(l.body, part...)
		l.ends = append(l.ends, len(l.body))
	}
	l.body = append(l.body, "]\n"...)
	return nil
}

// part returns what the body has of a service.
func (l *targetList) part(n int) []byte {
	begin := 1 // after [
	if n > 0 {
		begin = l.ends[n-1]
	}
	return bytes.TrimPrefix(l.body[begin:l.ends[n]], []byte(","))
}

// encodeService returns the targets of a service, without brackets.
func encodeService(state *consulapi.ServiceState, s selection) ([]byte, error) {
	var list []target
	for _, i := range state.Instances {
		if s.includes(i) {
			list = append(list, target{[1]string{address(i)}, labels(i)})
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	return text[1 : len(text)-1], nil
}

// address is where an instance listens. An instance without a port has port 0, as in
// Prometheus's own discovery of Consul: users replace it by rules.
func address(i *consulapi.Instance) string {
	service := i.ServiceInfo
	if i.NoPort {
		service.Port = 0
	}
	return service.HostPort()
}

// status is the worst that the instance, its checks and its node say. Draining stays
// visible, as it is no failure.
func status(i *consulapi.Instance) string {
	if i.Status == registry.StatusDraining {
		return string(registry.StatusDraining)
	}
	return i.Health
}
