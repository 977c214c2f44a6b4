package main

import (
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/freeport"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// startRun runs the test binary as a server under "rollcall run".
func startRun(t *testing.T, url, kind string, flags ...string) *program {
	t.Helper()
	args := append([]string{"run", "--name", "api"}, flags...)
	if !strings.Contains(strings.Join(flags, " "), " -- ") {
		args = append(args, "--", os.Args[0], "127.0.0.1:{port}")
	}
	return startProgram(t, []string{backendVariable + "=" + url, childVariable + "=" + kind}, args...)
}

// get asks the instance's server.
func get(t *testing.T, s registry.ServiceInfo, path string) {
	t.Helper()
	client := http.Client{Timeout: patience}
	response, err := client.Get("http://" + s.HostPort() + path)
	if err != nil {
		return // the server may have ended before it answered
	}
	_ = response.Body.Close() // nothing is read
}

// At SIGTERM, and at Ctrl-C, the instance leaves before the command gets the signal.
func TestRunLeavesFirst(t *testing.T) {
	url := redisWithPassword(t)
	backend := open(t, url)
	p := startRun(t, url, "server", "--id", "api-1", "--port", "0", "--tag", "a", "--version", "1.2.0")
	got := awaitState(t, backend, "api", "the instance", callable(1)).Instances[0]
	if got.ID != "api-1" || got.Address != "127.0.0.1" || got.Version != "1.2.0" || len(got.Tags) != 1 {
		t.Errorf("registered %+v", got)
	}
	p.await(t, "child serves on "+got.HostPort()+", PORT="+strconv.Itoa(got.Port)+`\b`)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.exit(t, 5, "listens on 127.0.0.1 only", "rollcall run: registered api-1 of api at 127.0.0.1:", "rollcall run: deregistered api-1 of api")
	inOrder(t, p.output(), "child received terminated", "child sees 0 instances")
}

func TestRunAtCtrlC(t *testing.T) {
	url := redisWithPassword(t)
	backend := open(t, url)
	p := startRun(t, url, "server", "--port", "0")
	awaitState(t, backend, "api", "the instance", callable(1))
	p.await(t, "child serves")
	// A terminal sends it to the whole process group.
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.await(t, "child received interrupt")
	awaitState(t, backend, "api", "no instance", callable(0))
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.exit(t, 5)
}

func TestRunForwardsSignals(t *testing.T) {
	url := redisWithPassword(t)
	p := startRun(t, url, "server", "--port", "0")
	p.await(t, "child serves")
	signals := []syscall.Signal{syscall.SIGUSR1}
	if !signal.Ignored(syscall.SIGHUP) { // under nohup the command ignores it too
		signals = append(signals, syscall.SIGHUP)
	}
	for _, s := range signals {
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		p.await(t, "child received "+s.String())
	}
	awaitState(t, open(t, url), "api", "the instance", callable(1))
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.exit(t, 5)
}

// A command that ends is deregistered at once, not after its TTL of an hour.
func TestRunOfACommandThatEnds(t *testing.T) {
	url := redisWithPassword(t) + "?ttl=1h"
	backend := open(t, url)
	for name, end := range map[string]struct {
		path string
		code int
	}{
		"by itself": {"/exit?code=0", 0},
		"failed":    {"/exit?code=7", 7},
	} {
		t.Run(name, func(t *testing.T) {
			p := startRun(t, url, "server", "--port", "0")
			s := awaitState(t, backend, "api", "the instance", callable(1)).Instances[0]
			get(t, s, end.path)
			p.exit(t, end.code, "deregistered")
			awaitState(t, backend, "api", "no instance", callable(0))
		})
	}
	t.Run("killed", func(t *testing.T) {
		p := startRun(t, url, "server", "--port", "0", "--", "sh", "-c", `echo pid $$; exec "$0" 127.0.0.1:$PORT`, os.Args[0])
		awaitState(t, backend, "api", "the instance", callable(1))
		pid, err := strconv.Atoi(strings.Fields(p.output())[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		p.exit(t, 128+9, "deregistered")
		awaitState(t, backend, "api", "no instance", callable(0))
	})
}

// A command that ends before its port answers was never registered.
func TestRunOfACommandThatNeverAnswers(t *testing.T) {
	url := redisWithPassword(t)
	for name, test := range map[string]struct {
		code   int
		args   []string
		stderr string
	}{
		"ends":            {3, []string{"--port", "0", "--", "sh", "-c", "exit 3"}, ""},
		"without end":     {1, []string{"--port", "0", "--start-timeout", "200ms", "--", "sleep", "1000"}, "has not answered within 200ms"},
		"does not exist":  {1, []string{"--port", "0", "--", "no-such-command"}, "start no-such-command: executable file not found"},
		"not to be run":   {1, []string{"--port", "0", "--", "/dev/null"}, "start /dev/null: permission denied"},
		"bad backend URL": {2, []string{"--port", "0", "--backend", "redis://:secret@h?x=1", "--", "true"}, "--backend"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rollcall(t, url, append([]string{"run", "--name", "none"}, test.args...)...)
			r.want(t, test.code, "", test.stderr)
			rollcall(t, url, "get", "none").want(t, 3, "", "no instances")
		})
	}
}

// A port on which another process answers would be registered in the command's place.
func TestRunOnAPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	rollcall(t, "local:", "run", "--name", "api", "--port", port, "--", "true").want(t, 1, "", "another process answers on 127.0.0.1:"+port)
}

// A command that does not end at SIGTERM is killed.
func TestRunOfAStubbornCommand(t *testing.T) {
	url := redisWithPassword(t)
	p := startRun(t, url, "stubborn", "--port", "0", "--stop-timeout", "1s")
	awaitState(t, open(t, url), "api", "the instance", callable(1))
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.exit(t, 128+9, "deregistered", "has not ended within 1s")
	inOrder(t, p.output(), "child sees 0 instances")
}

// The command does not outlive rollcall, and the instance expires.
func TestRunIsKilled(t *testing.T) {
	url := redisWithPassword(t) + "?ttl=2s"
	backend := open(t, url)
	p := startRun(t, url, "server", "--port", "0")
	awaitState(t, backend, "api", "the instance", callable(1))
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.fail(t, "killed, the program has not ended in %v", patience)
	}
	p.awaitNoFamily(t, patience)
	awaitState(t, backend, "api", "no instance", callable(0))
}

// When the instance is deregistered by an operator, the command is stopped, too.
func TestRunIsDeregistered(t *testing.T) {
	url := redisWithPassword(t) + "?ttl=2s&heartbeat=200ms"
	p := startRun(t, url, "server", "--port", "0", "--id", "api-1")
	awaitState(t, open(t, url), "api", "the instance", callable(1))
	rollcall(t, url, "deregister", "api-1").want(t, 0, "deregistered api-1", "")
	p.exit(t, 1, `member of "api": .*deregistered`)
	inOrder(t, p.output(), "child received terminated")
}

// With --check a command that answers and is not well is not listed.
func TestRunChecksTheCommand(t *testing.T) {
	url := redisWithPassword(t)
	backend := open(t, url)
	p := startRun(t, url, "server", "--port", "0", "--check", "/health", "--check-interval", "50ms")
	got := awaitState(t, backend, "api", "a passing instance", callable(1)).Instances[0]
	if got.HealthEndpoint != "/health" {
		t.Errorf("registered %+v", got)
	}
	get(t, got, "/fail")
	awaitState(t, backend, "api", "a critical instance", func(s registry.Snapshot) bool {
		return len(s.Instances) == 0 && len(s.Others) == 1 && s.Others[0].Status == registry.StatusCritical
	})
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.exit(t, 5)
	inOrder(t, p.output(), "child sees 0 instances")
}

// A newer owner of the ID stops the command, too.
func TestRunIsSuperseded(t *testing.T) {
	url := redisWithPassword(t) + "?ttl=2s&heartbeat=200ms"
	backend := open(t, url)
	p := startRun(t, url, "server", "--port", "0", "--id", "api-1")
	awaitState(t, backend, "api", "the instance", callable(1))
	registerAll(t, backend, registry.ServiceInfo{ID: "api-1", Name: "api", Address: "10.0.0.1", Port: 1})
	p.exit(t, 1, `member of "api": .*superseded`)
	inOrder(t, p.output(), "child received terminated", "child sees 1 instances")
}

// A backend that has become unavailable delays the end of the command, but for a
// bounded time, and the instance expires.
func TestRunEndsWithoutABackend(t *testing.T) {
	for name, end := range map[string]func(*program, registry.ServiceInfo){
		"stopped":   func(p *program, _ registry.ServiceInfo) { _ = p.cmd.Process.Signal(syscall.SIGTERM) }, // exit waits for its effect
		"by itself": func(_ *program, s registry.ServiceInfo) { get(t, s, "/exit?code=5") },
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			p := startRun(t, server.URL(), "server", "--port", "0")
			s := awaitState(t, open(t, server.URL()), "api", "the instance", callable(1)).Instances[0]
			server.Kill()
			end(p, s)
			p.exit(t, 5, "the instance expires with its TTL")
		})
	}
}

// The command runs while the backend is unavailable, and is registered once it is there.
func TestRunWithoutABackend(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	p := startRun(t, server.URL(), "server", "--port", "0", "--start-timeout", "1m")
	p.await(t, "child serves")
	server.Restart()
	awaitState(t, open(t, server.URL()), "api", "the instance", callable(1))
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.exit(t, 5, "not registered yet")
}

// A fixed port and address are registered as given.
func TestRunOnAFixedPort(t *testing.T) {
	port, release, err := freeport.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	defer release.Close()
	url := redisWithPassword(t)
	p := startRun(t, url, "server", "--port", strconv.Itoa(port), "--address", "api.example")
	got := awaitState(t, open(t, url), "api", "the instance", callable(1)).Instances[0]
	if got.HostPort() != "api.example:"+strconv.Itoa(port) {
		t.Errorf("registered %+v", got)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.exit(t, 5)
}
