package consulapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon is an API that tests call without a network.
type daemon struct {
	*API
	t testing.TB
}

// start starts a daemon named node on a backend. It ends with the test.
func start(t testing.TB, backend registry.Backend, node string) *daemon {
	t.Helper()
	d := begin(t, backend, node)
	t.Cleanup(d.Close)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// begin makes a daemon that the caller starts and closes.
func begin(t testing.TB, backend registry.Backend, node string) *daemon {
	t.Helper()
	a, err := New(Config{Backend: backend, Node: node, Address: "127.0.0.1", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return &daemon{a, t}
}

func localBackend(t testing.TB) registry.Backend {
	t.Helper()
	b := registry.NewLocalRegistry()
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// answer is what a request was answered.
type answer struct {
	code   int
	header http.Header
	body   string
}

func (a answer) index() uint64 {
	n, _ := strconv.ParseUint(a.header.Get("X-Consul-Index"), 10, 64)
	return n
}

func (d *daemon) do(method, path, body string) answer {
	return d.doWith(context.Background(), method, path, body)
}

func (d *daemon) doWith(ctx context.Context, method, path, body string) answer {
	d.t.Helper()
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// must makes a request that must be answered with 200.
func (d *daemon) must(method, path, body string) answer {
	d.t.Helper()
	a := d.do(method, path, body)
	if a.code != http.StatusOK {
		d.t.Fatalf("%s %s: %d %s", method, path, a.code, a.body)
	}
	return a
}

func (d *daemon) register(body string) {
	d.t.Helper()
	d.must("PUT", "/v1/agent/service/register", body)
}

// readAs makes a read and decodes the answer.
func readAs[T any](d *daemon, path string) (T, answer) {
	d.t.Helper()
	a := d.must("GET", path, "")
	var value T
	if err := json.Unmarshal([]byte(a.body), &value); err != nil {
		d.t.Fatalf("%s: %v in %s", path, err, a.body)
	}
	return value, a
}

// health returns the instances of a service.
func (d *daemon) health(path string) []healthEntry {
	d.t.Helper()
	list, _ := readAs[[]healthEntry](d, "/v1/health/service/"+path)
	return list
}

// statuses returns the statuses of the checks of an instance, without serfHealth.
func statuses(e healthEntry) map[string]string {
	out := make(map[string]string)
	for _, c := range e.Checks {
		if c.CheckID != serfHealth {
			out[c.CheckID] = c.Status
		}
	}
	return out
}

// blocked makes a blocking query in the background.
func (d *daemon) blocked(path string) <-chan answer {
	out := make(chan answer, 1)
	go func() { out <- d.do("GET", path, "") }()
	return out
}
