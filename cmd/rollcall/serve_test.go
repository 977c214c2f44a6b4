package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serving starts the daemon on a free port and returns its URL.
func serving(t *testing.T, args ...string) (p *program, url string) {
	t.Helper()
	p = startProgram(t, nil, append([]string{"serve", "--http", "127.0.0.1:0", "--log-level", "error", "--backend", "local:"}, args...)...)
	const listening = `API on (http://\S+) `
	p.await(t, listening)
	return p, regexp.MustCompile(listening).FindStringSubmatch(p.output())[1]
}

func request(t *testing.T, method, url, body string) (code int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(read)
}

func TestServe(t *testing.T) {
	t.Parallel()
	p, url := serving(t, "--node", "web-7", "--datacenter", "east")
	if code, body := request(t, "GET", url+"/v1/ready", ""); code != http.StatusOK {
		t.Fatalf("ready: %d %s", code, body)
	}
	if code, body := request(t, "PUT", url+"/v1/agent/service/register", `{"Name":"hello","Port":8080}`); code != http.StatusOK {
		t.Fatalf("register: %d %s", code, body)
	}
	_, body := request(t, "GET", url+"/v1/health/service/hello?passing", "")
	for _, want := range []string{`"Node":"web-7"`, `"Datacenter":"east"`, `"Port":8080`} {
		if !strings.Contains(body, want) {
			t.Errorf("health has no %s: %s", want, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.end(t, time.Since(p.began)+10*time.Second)
}

// The flag comes before the variable, the variable before the file.
func TestServeSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rollcall.json")
	err := os.WriteFile(file, []byte(`{"node": "file", "datacenter": "file", "http": "127.0.0.1:1", "check-allow": ["10.0.0.0/8", "192.168.0.0/16"], "insecure": true}`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"ROLLCALL_NODE=variable", "ROLLCALL_DATACENTER=variable", "ROLLCALL_CONFIG=" + file,
		"ROLLCALL_BACKEND=redis://app:hunter2@localhost:6379?sentinel_password=hunter2&password_file=/run/secrets/redis"}
	p := startProgram(t, env, "serve", "--print-config", "--node", "flag")
	p.end(t, 15*time.Second)
	var got map[string]any
	if err := json.Unmarshal([]byte(p.output()), &got); err != nil {
		t.Fatalf("%v in %s", err, p.output())
	}
	for name, want := range map[string]any{"node": "flag", "datacenter": "variable", "http": "127.0.0.1:1", "insecure": true} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if list, _ := got["check-allow"].([]any); len(list) != 2 {
		t.Errorf("check-allow is %v", got["check-allow"])
	}
	if strings.Contains(p.output(), "hunter2") || !strings.Contains(p.output(), "password_file=%2Frun%2Fsecrets%2Fredis") {
		t.Errorf("shown: %s", p.output())
	}
}

func TestServeRefuses(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte(`{"nodes": "x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--http", "0.0.0.0:0"}, "not a loopback address"},
		{[]string{"--http", "nowhere"}, "host:port"},
		{[]string{"--backend", "mysql://x"}, "backend"},
		{[]string{"--check-allow", "10"}, "CIDR"},
		{[]string{"--write-tokens", "/nowhere"}, "/nowhere"},
		{[]string{"--config", broken}, `"nodes" is no setting`},
		{[]string{"--log-level", "loud"}, "log-level"},
	} {
		args := append([]string{"serve", "--backend", "local:", "--http", "127.0.0.1:0"}, test.args...)
		p := startProgram(t, nil, args...)
		<-p.ended
		if code := p.cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(p.stderr.String(), test.want) {
			t.Errorf("%v: exit code %d, %s", test.args, code, p.stderr.String())
		}
	}
}
