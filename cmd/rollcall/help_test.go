package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// patience is far more than a command may take.
const patience = time.Minute

// result is what a run of the binary left.
type result struct {
	code     int
	out, err string
}

// rollcall runs the binary to its end, with url as $ROLLCALL_BACKEND.
func rollcall(t *testing.T, url string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), backendVariable+"="+url)
	var out, stray bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stray
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("rollcall %q: %v, %v", args, err, ctx.Err())
	}
	r := result{cmd.ProcessState.ExitCode(), out.String(), stray.String()}
	if strings.Contains(r.out+r.err, "secret") {
		t.Errorf("rollcall %q shows the password: %q %q", args, r.out, r.err)
	}
	return r
}

// want fails the test unless a run had this exit code, and printed these texts to
// standard output and standard error: nothing if empty.
func (r result) want(t *testing.T, code int, out, stray string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; stdout %q, stderr %q", r.code, code, r.out, r.err)
	}
	check(t, "stdout", r.out, out)
	check(t, "stderr", r.err, stray)
}

// open opens a backend for the test itself.
func open(t *testing.T, url string) registry.Backend {
	t.Helper()
	backend, err := registry.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := backend.Close(); err != nil {
			t.Error(err)
		}
	})
	return backend
}

// registerAll registers instances with a backend.
func registerAll(t *testing.T, backend registry.Backend, services ...registry.ServiceInfo) {
	t.Helper()
	for _, s := range services {
		if err := backend.Register(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitState waits until a watch of the service shows a state that is as wanted.
func awaitState(t *testing.T, backend registry.Backend, service, what string, wanted func(registry.Snapshot) bool) registry.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var last registry.Snapshot
	for snap := range backend.Watch(ctx, service) {
		if last = snap; snap.Stale == nil && wanted(snap) {
			return snap
		}
	}
	t.Fatalf("no state of %s with %s within %v; last: %v and %v", service, what, patience, last.Instances, last.Others)
	return last
}

func callable(n int) func(registry.Snapshot) bool {
	return func(s registry.Snapshot) bool { return len(s.Instances) == n && len(s.Others) == 0 }
}

// fail ends a program's test with all that it printed.
func (p *program) fail(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Errorf(format, args...)
	t.Fatalf("stdout:\n%s", p.output())
}

// exit waits for the program's end and checks its exit code, and that standard
// error has these texts in this order.
func (p *program) exit(t *testing.T, code int, stderr ...string) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.fail(t, "the program has not ended in %v", patience)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d; stdout:\n%s\nstderr:\n%s", got, code, p.output(), p.stderr.String())
	}
	inOrder(t, p.stderr.String(), stderr...)
	if strings.Contains(p.output()+p.stderr.String(), "secret") {
		t.Errorf("the output shows the password:\n%s\n%s", p.output(), p.stderr.String())
	}
}

// varying matches what differs between two runs with the same result.
var varying = regexp.MustCompile(`\b\d+s\b|\b\d+m\d\ds\b|\d\d:\d\d:\d\d`)
