// Package programtest builds and runs programs for tests that look at what they
// print. Linux only.
package programtest

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is far more than a program may take to say something or to end.
const patience = 30 * time.Second

// Build builds the program in a folder and returns its path.
func Build(t testing.TB, folder string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(folder))
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = folder
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", folder, err, out)
	}
	return path
}

// Program is one run of a program.
type Program struct {
	t      testing.TB
	name   string
	pid    int
	exited chan struct{}
	err    error // of the run, once it has exited

	mu      sync.Mutex
	output  bytes.Buffer
	changed chan struct{} // closed and replaced when there is more output
}

// Start runs a program. The kernel kills it as soon as this process ends, and
// the test's end does if it still runs then.
func Start(t testing.TB, path string, args ...string) *Program {
	t.Helper()
	p := &Program{t: t, name: filepath.Base(path), exited: make(chan struct{}), changed: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel's notion of a parent is the thread that forked.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.exited)
		cmd := exec.Command(path, args...)
		cmd.Stdout, cmd.Stderr = p, p
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("starting %s: %v", p.name, err)
	}
	t.Cleanup(p.Kill)
	return p
}

// Write takes what the program prints.
func (p *Program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
	return p.output.Write(b)
}

// Output returns what the program has printed so far.
func (p *Program) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// Await waits until the program has printed a text.
func (p *Program) Await(text string) {
	p.t.Helper()
	late := time.After(patience)
	for {
		p.mu.Lock()
		found, changed := strings.Contains(p.output.String(), text), p.changed
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-p.exited:
			if !strings.Contains(p.Output(), text) {
				p.t.Fatalf("%s ended (%v) and had not printed %q, but\n%s", p.name, p.err, text, p.Output())
			}
			return
		case <-late:
			p.t.Fatalf("%s has not printed %q in %s, but\n%s", p.name, text, patience, p.Output())
		}
	}
}

// End waits until the program has ended, fails the test if that was not with
// exit code 0, and returns what it printed.
func (p *Program) End() string {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s has not ended in %s; it printed\n%s", p.name, patience, p.Output())
	}
	if p.err != nil {
		p.t.Fatalf("%s ended with %v; it printed\n%s", p.name, p.err, p.Output())
	}
	return p.Output()
}

// Terminate asks the program to end, by SIGTERM, and is End.
func (p *Program) Terminate() string {
	p.t.Helper()
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		p.t.Fatalf("ending %s: %v", p.name, err)
	}
	return p.End()
}

// Kill ends the program by SIGKILL, if it runs, and waits until it is gone.
func (p *Program) Kill() {
	select {
	case <-p.exited:
	default:
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		<-p.exited
	}
}
