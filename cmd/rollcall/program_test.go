package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/stall"
)

// The demo has time bounds, so its tests run at the same time as no others than each
// other: the others are not parallel.

// program is a run of the binary.
type program struct {
	cmd    *exec.Cmd
	mark   string // in the environment of the program and of what it starts
	began  time.Time
	took   time.Duration
	stderr bytes.Buffer

	mu     sync.Mutex
	stdout []string
	more   chan struct{} // closed and replaced with each line of stdout
	ended  chan struct{} // closed once the program has ended and was waited for
}

// startProgram runs the binary in a process group of its own. Whatever is left
// of it when the test ends is killed.
func startProgram(t *testing.T, env []string, args ...string) *program {
	t.Helper()
	p := &program{
		cmd:   exec.Command(binary, args...),
		mark:  "ROLLCALL_TEST=" + t.Name(),
		began: time.Now(),
		more:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	p.cmd.Env = append(append(os.Environ(), "ROLLCALL_BACKEND=", p.mark), env...)
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stall.Measure(t, p.cmd.Process.Pid)
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.mu.Lock()
			p.stdout = append(p.stdout, lines.Text())
			close(p.more)
			p.more = make(chan struct{})
			p.mu.Unlock()
		}
		_ = p.cmd.Wait() // the exit code is looked at by the tests
		p.took = time.Since(p.began)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // fails when all have ended
		<-p.ended
	})
	return p
}

func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.stdout, "\n")
}

// await waits until the output so far matches.
func (p *program) await(t *testing.T, pattern string) {
	t.Helper()
	match := regexp.MustCompile(pattern)
	timeout := time.After(15 * time.Second)
	for {
		p.mu.Lock()
		more := p.more
		p.mu.Unlock()
		if match.MatchString(p.output()) {
			return
		}
		select {
		case <-more:
		case <-p.ended:
			t.Fatalf("ended before %q; stdout:\n%s\nstderr:\n%s", pattern, p.output(), p.stderr.String())
		case <-timeout:
			t.Fatalf("no %q in 15 s; stdout:\n%s", pattern, p.output())
		}
	}
}

// end waits for the program's end, which must come within the given time from
// its start and the machine's stall, with exit code 0 and nothing on stderr.
func (p *program) end(t *testing.T, within time.Duration) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(2*within + 5*time.Second):
		t.Fatalf("still running; stdout:\n%s", p.output())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d; stdout:\n%s", code, p.output())
	}
	if stalled := stall.Since(t, p.began); p.took > within+stalled {
		t.Errorf("took %v, want at most %v and the stall of %v", p.took, within, stalled)
	}
	if p.stderr.Len() > 0 {
		t.Errorf("stderr: %s", p.stderr.String())
	}
}

// family returns the command lines of the program and of all that it started,
// those included that lost their parent.
func (p *program) family() []string {
	var found []string
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, environ := range environs {
		env, err := os.ReadFile(environ)
		if err != nil || !strings.Contains("\x00"+string(env), "\x00"+p.mark+"\x00") {
			continue // it has ended meanwhile, or is someone else's
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(environ), "cmdline"))
		if err == nil {
			found = append(found, strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " ")))
		}
	}
	return found
}

// awaitNoFamily waits until no process of the program runs.
func (p *program) awaitNoFamily(t *testing.T, d time.Duration) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(d); ; <-ticker.C {
		left := p.family()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still running after %v: %q", d, left)
		}
	}
}

// inOrder fails the test unless the output matches all patterns, each after
// the one before.
func inOrder(t *testing.T, output string, patterns ...string) {
	t.Helper()
	rest := output
	for _, pattern := range patterns {
		at := regexp.MustCompile(pattern).FindStringIndex(rest)
		if at == nil {
			t.Errorf("no %q in its place in:\n%s", pattern, output)
			return
		}
		rest = rest[at[1]:]
	}
}
