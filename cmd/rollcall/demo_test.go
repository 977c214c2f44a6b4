package main

import (
	"net"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// demoLimit is how long a demo may take.
const demoLimit = 20 * time.Second

func TestDemoOnMemory(t *testing.T) {
	t.Parallel()
	p := startProgram(t, nil, "demo")
	p.end(t, demoLimit)
	inOrder(t, p.output(),
		`Three HTTP servers .* in-memory`,
		`watch  hello-[123]  added: 127\.0\.0\.1:\d+`,
		`watch  hello-[123]  added: 127\.0\.0\.1:\d+`,
		`watch  hello-[123]  added: 127\.0\.0\.1:\d+`,
		`calls  hello-1 \d+ ok, hello-2 \d+ ok, hello-3 \d+ ok\n`,
		`kill   hello-2`,
		`call   hello-2  fails: connection (refused|reset by peer|closed)`,
		`hello-2  still listed: memory has no TTL`,
		`leave  hello-3`,
		`watch  hello-3  left`,
		`leave  hello-3  has stopped; none of \d+ calls to it failed`,
		`watch  hello-4  added`,
		`call   hello-4  answers`,
		`hello-1 .* listed +\d+ +0  hello from hello-1`,
		`hello-2 .* listed +\d+ +[1-9]\d*  connection refused`,
		`hello-3 .* left +\d+ +0`,
		`hello-4 .* listed +\d+ +0  hello from hello-4`,
		`Done in .*`, `all of them to hello-2`,
		`To try next:`)
	if strings.Contains(p.output(), "\x1b") {
		t.Errorf("escape sequences, though stdout is no terminal:\n%q", p.output())
	}
}

func TestDemoOnRedis(t *testing.T) {
	t.Parallel()
	p := startProgram(t, []string{"ROLLCALL_BACKEND=" + redisWithPassword(t)}, "demo")
	p.await(t, `(?s)hello-1  answers.*hello-2  answers|hello-2  answers.*hello-1  answers`)
	children := 0
	for _, line := range p.family() {
		if strings.Contains(line, "secret") {
			t.Errorf("the process list shows the password: %s", line)
		}
		if strings.Contains(line, "demo-server hello-") {
			children++
		}
	}
	if children != 3 {
		t.Errorf("%d server processes, want 3: %q", children, p.family())
	}
	p.end(t, demoLimit)
	inOrder(t, p.output(),
		`Three HTTP servers .* Redis at 127\.0\.0\.1:\d+`,
		`start  hello-1  process \d+`,
		`watch  hello-[123]  added: 127\.0\.0\.1:\d+`,
		`watch  hello-[123]  added: 127\.0\.0\.1:\d+`,
		`watch  hello-[123]  added: 127\.0\.0\.1:\d+`,
		`kill   hello-2  SIGKILL`,
		`call   hello-2  fails: connection (refused|reset by peer|closed)`,
		`hello-2  listed until its TTL of 2s is over`,
		`watch  hello-2  expired: off the list [12]\.?\d*s after the kill`,
		`leave  hello-3`,
		`watch  hello-3  left`,
		`leave  hello-3  has stopped; none of \d+ calls to it failed`,
		`watch  hello-4  added`,
		`call   hello-4  answers`,
		`hello-2 .* expired +\d+ +[1-9]`,
		`Done in .*`, `all of them to hello-2`)
	if left := p.family(); len(left) > 0 {
		t.Errorf("still running: %q", left)
	}
	if strings.Contains(p.output(), "secret") {
		t.Errorf("the output shows the password:\n%s", p.output())
	}
}

// A Ctrl-C reaches the whole process group: the demo and its servers.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		p := startProgram(t, nil, "demo")
		p.await(t, `hello-3  answers`)
		interrupted(t, p)
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		url := redisWithPassword(t)
		p := startProgram(t, []string{"ROLLCALL_BACKEND=" + url}, "demo")
		p.await(t, `hello-3  answers`)
		interrupted(t, p)
		if left := p.family(); len(left) > 0 {
			t.Errorf("still running: %q", left)
		}
		namespace := regexp.MustCompile(`namespace (demo-\w+)`).FindStringSubmatch(p.output())[1]
		backend, err := registry.Open(t.Context(), url+"?namespace="+namespace)
		if err != nil {
			t.Fatal(err)
		}
		defer backend.Close()
		if left, err := backend.Instances(t.Context(), "hello"); err != nil || len(left) > 0 {
			t.Errorf("after the end still registered: %v, error %v", left, err)
		}
	})
}

func interrupted(t *testing.T, p *program) {
	t.Helper()
	before := time.Now()
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.end(t, time.Since(p.began)+4*time.Second)
	t.Logf("ended %v after the interrupt", time.Since(before))
	inOrder(t, p.output(), `Stopped before the end`)
}

// The server processes don't outlive a demo that had no time to end them.
func TestDemoKilled(t *testing.T) {
	t.Parallel()
	p := startProgram(t, []string{"ROLLCALL_BACKEND=" + redisWithPassword(t)}, "demo")
	p.await(t, `hello-3  answers`)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(15 * time.Second):
		t.Fatal("killed, the demo has not ended within 15 s")
	}
	p.awaitNoFamily(t, 5*time.Second)
}

func TestDemoWithoutRedis(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "demo", "--backend", "redis://user:secret@"+address)
	var out, stray strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stray
	_ = cmd.Run() // the exit code is looked at below
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	check(t, "stdout", out.String(), "")
	check(t, "stderr", stray.String(), address)
	if strings.Count(stray.String(), "\n") != 1 {
		t.Errorf("stderr is not one line: %q", stray.String())
	}
}

// redisWithPassword starts a Redis server and returns a URL with a password.
func redisWithPassword(t *testing.T) string {
	t.Helper()
	url := redistest.Start(t).URL()
	out, err := exec.CommandContext(t.Context(), "redis-cli", "-u", url,
		"ACL", "SETUSER", "user", "on", ">secret", "~*", "&*", "+@all").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "OK" {
		t.Fatalf("set up an ACL user on %s: %v: %s", url, err, out)
	}
	return strings.Replace(url, "redis://", "redis://user:secret@", 1)
}
