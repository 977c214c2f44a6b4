package daemon

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func tokenFileOf(t *testing.T, text string) *tokenFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openTokenFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func reached(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "reached") }

// A page whose name leads to this daemon by DNS, or which posts from another site, must
// not reach it.
func TestHostsAndOrigins(t *testing.T) {
	a := &access{next: http.HandlerFunc(reached), hosts: []string{"web-7", "rollcall.example"}}
	for _, test := range []struct {
		host   string
		header map[string]string
		ok     bool
	}{
		{"127.0.0.1:8500", nil, true},
		{"[::1]:8500", nil, true},
		{"localhost", nil, true},
		{"LOCALHOST.:8500", nil, true},
		{"rollcall.localhost:8500", nil, true},
		{"10.0.0.7:8500", nil, true},
		{"web-7:8500", nil, true},
		{"Rollcall.Example", nil, true},
		{"attacker.example:8500", nil, false},
		{"localhost.attacker.example", nil, false},
		{"127.0.0.1.attacker.example", nil, false},
		{"", nil, false},
		{"127.0.0.1:8500", map[string]string{"Origin": "http://127.0.0.1:8500"}, true},
		{"127.0.0.1:8500", map[string]string{"Origin": "http://attacker.example"}, false},
		{"127.0.0.1:8500", map[string]string{"Origin": "null"}, false},
		{"127.0.0.1:8500", map[string]string{"Origin": "http://127.0.0.1:9999"}, false},
		{"127.0.0.1:8500", map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		{"127.0.0.1:8500", map[string]string{"Sec-Fetch-Site": "same-origin"}, true},
	} {
		r := httptest.NewRequest("PUT", "/v1/agent/service/register", nil)
		r.Host = test.host
		for name, value := range test.header {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if ok := w.Body.String() == "reached"; ok != test.ok || !ok && w.Code != http.StatusForbidden {
			t.Errorf("Host %q, %v: %d %s", test.host, test.header, w.Code, w.Body)
		}
	}
}

func TestTokens(t *testing.T) {
	read, write := tokenFileOf(t, "# readers\nreader\n\n"), tokenFileOf(t, "writer\nother")
	for _, test := range []struct {
		what, method, path string
		header             map[string]string
		read               *tokenFile
		ok                 bool
	}{
		{"nothing", "GET", "/v1/catalog/services", nil, read, false},
		{"a reader reads", "GET", "/v1/catalog/services", map[string]string{"X-Consul-Token": "reader"}, read, true},
		{"a reader reads, by parameter", "GET", "/v1/catalog/services?token=reader", nil, read, true},
		{"a reader reads, as bearer", "GET", "/v1/catalog/services", map[string]string{"Authorization": "Bearer reader"}, read, true},
		{"a reader writes", "PUT", "/v1/agent/service/register", map[string]string{"X-Consul-Token": "reader"}, read, false},
		{"a writer writes", "PUT", "/v1/agent/service/register", map[string]string{"X-Consul-Token": "writer"}, read, true},
		{"a writer reads", "GET", "/v1/catalog/services", map[string]string{"X-Consul-Token": "other"}, read, true},
		{"a comment is no token", "GET", "/v1/catalog/services", map[string]string{"X-Consul-Token": "# readers"}, read, false},
		{"an empty token", "GET", "/v1/catalog/services", map[string]string{"X-Consul-Token": ""}, read, false},
		{"the start of a token", "GET", "/v1/catalog/services", map[string]string{"X-Consul-Token": "read"}, read, false},
		{"reading is open", "GET", "/v1/catalog/services", nil, nil, true},
		{"writing is not", "PUT", "/v1/agent/service/register", nil, nil, false},
		{"another method", "DELETE", "/v1/agent/service/register", nil, nil, false},
		// Known ways past such checks.
		{"a User-Agent that is trusted elsewhere", "PUT", "/v1/agent/service/register", map[string]string{"User-Agent": "Nacos-Server"}, nil, false},
		{"a default signing key", "PUT", "/v1/agent/service/register", map[string]string{"Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJuYWNvcyJ9.x"}, nil, false},
		{"a slash at the end", "PUT", "/v1/agent/service/register/", nil, nil, false},
		{"two slashes", "PUT", "//v1/agent/service/register", nil, nil, false},
		{"encoded dots", "PUT", "/v1/ready/%2e%2e/agent/service/register", nil, nil, false},
		{"a path that ends like an open one", "PUT", "/v1/agent/service/deregister/v1/ready", nil, nil, false},
		{"a parameter after a semicolon", "PUT", "/v1/agent/service/register;/v1/ready", nil, nil, false},
		{"a method in a header", "GET", "/v1/catalog/services", map[string]string{"X-HTTP-Method-Override": "PUT"}, read, false},
		{"metrics", "GET", "/metrics", nil, read, false},
		{"readiness is open", "GET", readyPath, nil, read, true},
	} {
		a := &access{next: http.HandlerFunc(reached), read: test.read, write: write}
		r := httptest.NewRequest(test.method, test.path, nil)
		r.Host = "127.0.0.1"
		for name, value := range test.header {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if ok := w.Body.String() == "reached"; ok != test.ok {
			t.Errorf("%s: %d %s", test.what, w.Code, w.Body)
		}
	}
}

func TestTokenFilesAreReadAgain(t *testing.T) {
	f := tokenFileOf(t, "old\n")
	if !f.has("old") {
		t.Fatal("the token is unknown")
	}
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(f.path, at, at); err != nil {
			t.Fatal(err)
		}
		f.looked = time.Time{} // as if the interval had passed
	}
	write("new\n", time.Now().Add(time.Hour))
	if f.has("old") || !f.has("new") {
		t.Error("the file changed and the tokens did not")
	}
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	f.looked = time.Time{}
	if !f.has("new") {
		t.Error("a token is forgotten because the file cannot be read")
	}
	if _, err := openTokenFile(f.path, f.logger); err == nil {
		t.Error("a missing file is accepted at the start")
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for _, test := range []struct {
		config Config
		want   string
	}{
		{Config{HTTP: "127.0.0.1:0"}, "backend"},
		{Config{Backend: "local:", HTTP: "8500"}, "http"},
		{Config{Backend: "local:", HTTP: "0.0.0.0:8500"}, "tokens"},
		{Config{Backend: "local:", HTTP: ":8500"}, "TLS"},
		{Config{Backend: "local:", HTTP: "10.0.0.7:8500", WriteTokens: "x"}, "TLS"},
		{Config{Backend: "local:", HTTP: "127.0.0.1:0", TLSCert: "x"}, "tls-key"},
		{Config{Backend: "local:", HTTP: "127.0.0.1:0", TLSClientCA: "x"}, "tls-client-ca"},
		{Config{Backend: "local:", HTTP: "127.0.0.1:0", ReadTokens: "x"}, "write-tokens"},
		{Config{Backend: "local:", HTTP: "127.0.0.1:0", CheckAllow: []string{"10.0.0.1"}}, "check-allow"},
		{Config{Backend: "local:", HTTP: "127.0.0.1:0", NodeMeta: []string{"x"}}, "node-meta"},
	} {
		if _, err := test.config.check(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want an error that names %s", test.config, err, test.want)
		}
	}
	for _, config := range []Config{
		{Backend: "local:", HTTP: "localhost:8500"},
		{Backend: "local:", HTTP: "[::1]:8500"},
		{Backend: "local:", HTTP: "0.0.0.0:8500", Insecure: true},
		{Backend: "local:", HTTP: "0.0.0.0:8500", WriteTokens: "x", TLSCert: "x", TLSKey: "x"},
		{Backend: "local:", HTTP: "0.0.0.0:8500", TLSClientCA: "x", TLSCert: "x", TLSKey: "x"},
	} {
		if _, err := config.check(); err != nil {
			t.Errorf("%+v: %v", config, err)
		}
	}
}

func TestNodeIDs(t *testing.T) {
	a, b := nodeID("web-1"), nodeID("web-2")
	if a == b || a != nodeID("web-1") || len(a) != 36 || a[14] != '8' {
		t.Errorf("%s, %s", a, b)
	}
}
