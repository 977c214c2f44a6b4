package prometheus

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/cmd/internal/consulapi"
	"github.com/rollcall-sd/rollcall/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStates are states that a test sets. What is not set is not known: reads of it fail, as
// those of the API do once their context ends.
type fakeStates struct {
	mu       sync.Mutex
	catalog  *consulapi.CatalogState
	services map[string]*consulapi.ServiceState
	reads    int // of services
}

func (f *fakeStates) Catalog(ctx context.Context) (*consulapi.CatalogState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.catalog == nil {
		return nil, registry.ErrUnavailable
	}
	return f.catalog, nil
}

func (f *fakeStates) Service(ctx context.Context, name string) (*consulapi.ServiceState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if f.services[name] == nil {
		return nil, registry.ErrUnavailable
	}
	return f.services[name], nil
}

// set makes the states those of these services. Each has a new pointer.
func (f *fakeStates) set(states ...consulapi.ServiceState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.catalog, f.services = &consulapi.CatalogState{}, make(map[string]*consulapi.ServiceState)
	for _, s := range states {
		if len(s.Instances) > 0 {
			f.catalog.Names = append(f.catalog.Names, s.Name)
		}
		f.services[s.Name] = &s
		if s.Stale != nil {
			f.catalog.Stale, f.catalog.AsOf = s.Stale, s.AsOf
		}
	}
}

func service(name string, instances ...*consulapi.Instance) consulapi.ServiceState {
	return consulapi.ServiceState{Name: name, Instances: instances}
}

// instance returns a passing instance of a service.
func instance(name, id, address string, port int) *consulapi.Instance {
	return &consulapi.Instance{
		ServiceInfo: registry.ServiceInfo{Name: name, ID: id, Address: address, Port: port, Status: registry.StatusPassing, Weight: 1},
		Node:        &consulapi.Node{Name: "n1", Address: "10.0.0.1"}, Health: "passing",
	}
}

// ask makes a request.
func ask(h http.Handler, method, url string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, url, nil))
	return w
}

// shownTarget is a target as Prometheus reads it.
type shownTarget struct {
	Targets []string
	Labels  map[string]string
}

// targetsOf makes a request that must be answered with targets.
func targetsOf(t *testing.T, h http.Handler, query string) []shownTarget {
	t.Helper()
	w := ask(h, "GET", TargetsPath+query)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %d %s %s", query, w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	if !strings.HasPrefix(w.Body.String(), "[") {
		t.Fatalf("%s: %s is no list", query, w.Body)
	}
	var list []shownTarget
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// ids returns the instances of targets.
func ids(list []shownTarget) string {
	var out []string
	for _, s := range list {
		out = append(out, s.Labels["__meta_rollcall_id"])
	}
	return strings.Join(out, " ")
}

// startAPI starts Consul's API on a backend of its own.
func startAPI(t testing.TB) (*consulapi.API, registry.Backend) {
	t.Helper()
	backend := registry.NewLocalRegistry()
	t.Cleanup(func() { _ = backend.Close() })
	api, err := consulapi.New(consulapi.Config{Backend: backend, Node: "n1", Address: "10.0.0.1", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	if err := api.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return api, backend
}
