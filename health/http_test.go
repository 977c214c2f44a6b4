package health_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// at is an instance of "api" on a listener's address.
func at(t testing.TB, address, endpoint string) registry.ServiceInfo {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	must(t, err)
	n, err := strconv.Atoi(port)
	must(t, err)
	return registry.ServiceInfo{Name: "api", Address: host, Port: n, HealthEndpoint: endpoint}
}

var fast = settings{Interval: 20 * time.Millisecond, Timeout: 2 * time.Second, Fall: 1, InitialStatus: cri, Logger: quiet}

// verdict registers an instance and returns what the first probe makes of it.
func verdict(t *testing.T, options settings, service registry.ServiceInfo) registry.Instance {
	t.Helper()
	c := check(t, registry.NewLocalRegistry(), options)
	defer c.Close()
	service.ID = "a"
	// Of a status that no verdict here repeats, so that each is written.
	service.Status = war
	if strings.HasSuffix(service.HealthEndpoint, "/429") {
		service.Status = pas
	}
	must(t, c.Register(t.Context(), service))
	for range c.Watch(t.Context(), "api") {
		list, err := c.Instances(t.Context(), "api")
		must(t, err)
		if list[0].Note != "" {
			return list[0]
		}
	}
	t.Fatal("no verdict")
	return registry.Instance{}
}

func TestHTTPVerdicts(t *testing.T) {
	var elsewhere atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			elsewhere.Store(true)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			return
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(strings.Repeat("x", 1<<10))); err != nil {
					return
				}
			}
			return
		case "/method":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, r.Method, " ", r.URL.RawQuery)
			return
		}
		w.Header().Set("Location", "/elsewhere")
		code, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		w.WriteHeader(code)
	}))
	defer server.Close()
	for path, want := range map[string]struct {
		status registry.Status
		note   string
	}{
		"/200":        {pas, "HTTP 200 OK"},
		"/204":        {pas, "HTTP 204 No Content"},
		"/302":        {cri, "HTTP 302 Found: redirects are not followed"},
		"/404":        {cri, "HTTP 404 Not Found"},
		"/429":        {war, "HTTP 429 Too Many Requests"},
		"/503":        {cri, "HTTP 503 Service Unavailable"},
		"/cut":        {cri, "HTTP 200 OK, then: unexpected EOF"},
		"/endless":    {pas, "HTTP 200 OK"},
		"/method?a=b": {cri, "HTTP 500 Internal Server Error: GET a=b"},
	} {
		for _, endpoint := range []string{path, server.URL + path} {
			t.Run(strings.ReplaceAll(endpoint, "/", "_"), func(t *testing.T) {
				got := verdict(t, fast, at(t, server.Listener.Addr().String(), endpoint))
				if got.Status != want.status || got.Note != want.note {
					t.Errorf("status %q, note %q; want %q, %q", got.Status, got.Note, want.status, want.note)
				}
			})
		}
	}
	if elsewhere.Load() {
		t.Error("a redirect was followed")
	}
}

func TestHTTPSWithAClientOfOnesOwn(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	service := at(t, server.Listener.Addr().String(), server.URL+"/x")
	if got := verdict(t, fast, service); got.Status != cri || !strings.Contains(got.Note, "certificate") {
		t.Errorf("without its CA: %q, %q", got.Status, got.Note)
	}
	options := fast
	options.Client = server.Client()
	if got := verdict(t, options, service); got.Note != "HTTP 404 Not Found: 404 page not found" {
		t.Errorf("with its CA: %q, %q", got.Status, got.Note)
	}
	if options.Client.CheckRedirect != nil {
		t.Error("the client that was handed in was changed")
	}
}

func TestNotesShowNoPassword(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close()) // no server listens there
	address := url.URL{Scheme: "http", User: url.UserPassword("u", "secret"), Host: l.Addr().String(), Path: "/x"}
	got := verdict(t, fast, at(t, l.Addr().String(), address.String()))
	if got.Status != cri || !strings.Contains(got.Note, "refused") || strings.Contains(got.Note, "secret") {
		t.Errorf("%q, %q", got.Status, got.Note)
	}
}

func TestServerThatNeverAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	options := fast
	options.Timeout = 100 * time.Millisecond
	if got := verdict(t, options, at(t, l.Addr().String(), "/x")); got.Status != cri || got.Note != "HTTP GET: no answer in time" {
		t.Errorf("%q, %q", got.Status, got.Note)
	}
}

func TestTCPVerdicts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, other.Close())
	for endpoint, want := range map[string]registry.Status{
		"tcp:":                               pas,
		"tcp:" + l.Addr().String():           pas,
		"tcp://" + l.Addr().String():         pas,
		"tcp:" + other.Addr().String():       cri,
		"tcp:name-of-no-host.invalid:" + "1": cri,
	} {
		if got := verdict(t, fast, at(t, l.Addr().String(), endpoint)); got.Status != want || got.Note == "" {
			t.Errorf("%q: %q, %q; want %q", endpoint, got.Status, got.Note, want)
		}
	}
}
