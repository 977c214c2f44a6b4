package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

func TestRegistersUntilASignal(t *testing.T) {
	url := redisWithPassword(t)
	backend := open(t, url)
	p := startProgram(t, []string{backendVariable + "=" + url}, "register", "--name", "api", "--id", "api-1", "--address", "10.0.0.1",
		"--port", "8080", "--version", "1.2.0", "--tag", "a", "--tag", "b,c", "--zone", "eu", "--meta", "team=x=y", "--weight", "3")
	p.await(t, "registered api-1 of api at 10.0.0.1:8080")
	got := awaitState(t, backend, "api", "the instance", callable(1)).Instances[0]
	if got.Version != "1.2.0" || len(got.Tags) != 2 || got.Tags[1] != "b,c" || got.Metadata["zone"] != "eu" ||
		got.Metadata["team"] != "x=y" || got.Weight != 3 || got.Address != "10.0.0.1" {
		t.Errorf("registered %+v", got)
	}
	for _, line := range p.family() {
		if strings.Contains(line, "secret") {
			t.Errorf("the process list shows the password: %s", line)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.exit(t, 0)
	inOrder(t, p.output(), "deregistered api-1 of api")
	awaitState(t, backend, "api", "no instance", callable(0))
}

func TestRegistersInJSON(t *testing.T) {
	p := startProgram(t, nil, "register", "--name", "api", "--port", "8080", "--json", "--backend", "local:")
	p.await(t, "}")
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	p.exit(t, 0)
	var got map[string]any
	if err := json.Unmarshal([]byte(p.output()), &got); err != nil {
		t.Fatalf("%v in %s", err, p.output())
	}
	if got["service"] != "api" || got["id"] == "" || got["address"] == "" || got["port"] != 8080. || got["expires_at"] != nil {
		t.Errorf("printed %v", got)
	}
}

// Its registration lost, the command fails and says why.
func TestRegistrationIsLost(t *testing.T) {
	url := redistest.Start(t).URL() + "?ttl=2s&heartbeat=200ms"
	for name, lose := range map[string]func(registry.Backend, string) error{
		"deregistered": func(b registry.Backend, id string) error { return b.Deregister(t.Context(), id) },
		"superseded by a newer owner": func(b registry.Backend, id string) error {
			return b.Register(t.Context(), registry.ServiceInfo{ID: id, Name: "api", Address: "10.0.0.2", Port: 2})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := open(t, url)
			id, _, _ := strings.Cut(name, " ")
			p := startProgram(t, nil, "register", "--name", "api", "--id", id, "--port", "1", "--backend", url)
			p.await(t, "registered "+id)
			if err := lose(backend, id); err != nil {
				t.Fatal(err)
			}
			p.exit(t, 1, name)
		})
	}
}

// The instance of --once stays for its TTL, which nothing extends.
func TestRegistersOnce(t *testing.T) {
	url := redisWithPassword(t) + "?ttl=2s"
	rollcall(t, url, "register", "--name", "api", "--port", "1", "--id", "x", "--once").want(t, 0, "registered x of api at ", "")
	backend := open(t, url)
	awaitState(t, backend, "api", "no instance", callable(0))
}

// The URL names a file with the password.
func TestPasswordFile(t *testing.T) {
	url := redisWithPassword(t)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url = strings.Replace(url, "user:secret@", "user@", 1) + "?password_file=" + file
	rollcall(t, "", "register", "--name", "api", "--port", "1", "--id", "x", "--once", "--backend", url).want(t, 0, "registered x", "")
	rollcall(t, "", "ls", "--backend", url).want(t, 0, "api ", "")
	rollcall(t, "", "ls", "--backend", strings.Replace(url, "user@", "other@", 1)).want(t, 1, "", "WRONGPASS")
}

// With --check the instance's status follows its probes.
func TestRegistersWithCheck(t *testing.T) {
	asked := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL.Path:
		default:
		}
	}))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	url := redisWithPassword(t)
	backend := open(t, url)
	p := startProgram(t, []string{backendVariable + "=" + url},
		"register", "--name", "api", "--address", "127.0.0.1", "--port", port, "--check", "/health")
	got := awaitState(t, backend, "api", "a passing instance", callable(1))
	if path := <-asked; path != "/health" {
		t.Errorf("the probe asked for %s", path)
	}
	if got.Instances[0].HealthEndpoint != "/health" {
		t.Errorf("registered %+v", got.Instances[0])
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.exit(t, 0)
}
