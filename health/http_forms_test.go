package health_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// latest is the newest of several texts. Safe for concurrent use.
type latest struct{ text atomic.Value }

func (l *latest) set(text string) { l.text.Store(text) }
func (l *latest) get() string     { return l.text.Load().(string) }

// The status has arrived, so a body that never ends does not make an instance critical.
func TestABodyNeedNotEnd(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/failing" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, "data: 1")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	options := fast
	options.Timeout = 300 * time.Millisecond
	for endpoint, want := range map[string]struct {
		status registry.Status
		note   string
	}{
		"/events":  {pas, "HTTP 200 OK"},
		"/failing": {cri, "HTTP 503 Service Unavailable: data: 1"},
	} {
		got := verdict(t, options, at(t, server.Listener.Addr().String(), endpoint))
		if got.Status != want.status || got.Note != want.note {
			t.Errorf("%s: status %q, note %q; want %q, %q", endpoint, got.Status, got.Note, want.status, want.note)
		}
	}
}

func TestAHeaderWithoutEndIsCritical(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
	}))
	defer server.Close()
	if got := verdict(t, fast, at(t, server.Listener.Addr().String(), "/")); got.Status != cri {
		t.Errorf("status %q, note %q; want critical", got.Status, got.Note)
	}
}

// An instance whose port is not known in advance can be probed over TLS, at its
// own address, under the name that its certificate and its virtual host have.
func TestHTTPSByPathAndPort(t *testing.T) {
	var name, host latest
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host.set(r.Host) }))
	server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		name.set(hello.ServerName)
		return nil, nil
	}}
	server.StartTLS()
	defer server.Close()
	service := at(t, server.Listener.Addr().String(), "")
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	trusting := server.Client().Transport.(*http.Transport).Clone()
	trusting.TLSClientConfig.ServerName = "example.com"
	for _, endpoint := range []string{"https:/health", "https:health", "https://:/health", "https://:" + port + "/health"} {
		t.Run(strings.ReplaceAll(endpoint, "/", "_"), func(t *testing.T) {
			service.HealthEndpoint = endpoint
			options := fast
			options.Host = func(registry.ServiceInfo) string { return "api.example" }
			if got := verdict(t, options, service); !strings.Contains(got.Note, "certificate") {
				t.Errorf("without its CA: %q, %q", got.Status, got.Note)
			}
			if got := name.get(); got != "api.example" {
				t.Errorf("the TLS server name is %q, want api.example", got)
			}
			options.Client = &http.Client{Transport: trusting}
			if got := verdict(t, options, service); got.Status != pas {
				t.Errorf("with its CA: %q, %q", got.Status, got.Note)
			}
			if got := host.get(); got != "api.example" {
				t.Errorf("the Host header is %q, want api.example", got)
			}
		})
	}
}

// A URL that names its own host keeps it.
func TestHostIsForTheInstancesOwnAddress(t *testing.T) {
	var host latest
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host.set(r.Host) }))
	defer server.Close()
	address := server.Listener.Addr().String()
	options := fast
	options.Host = func(registry.ServiceInfo) string { return "api.example:81" }
	for endpoint, want := range map[string]string{"/x": "api.example:81", "http:/x": "api.example:81", server.URL + "/x": address} {
		if got := verdict(t, options, at(t, address, endpoint)); got.Status != pas {
			t.Errorf("%s: %q, %q", endpoint, got.Status, got.Note)
		}
		if got := host.get(); got != want {
			t.Errorf("%s: the Host header is %q, want %q", endpoint, got, want)
		}
	}
}
