package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/redistest"
)

// runDoctor returns what the program printed, and its exit code.
func runDoctor(t *testing.T, backend string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"doctor"}, args...)...)
	cmd.Env = append(os.Environ(), backendVariable+"="+backend)
	var out, stray strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stray
	_ = cmd.Run() // the exit code is looked at by the tests
	return out.String(), stray.String(), cmd.ProcessState.ExitCode()
}

func TestDoctorOfAGoodServer(t *testing.T) {
	url := redistest.Start(t).URL()
	for _, args := range [][]string{{url}, {"--timeout", "50s", url}, {"--backend", url}, {"--backend=" + url}, nil} {
		backend := ""
		if args == nil {
			backend = url
		}
		out, stray, code := runDoctor(t, backend, args...)
		if code != 0 || stray != "" || !strings.Contains(out, "ok       rights\n") {
			t.Errorf("%q: exit code %d\n%s%s", args, code, out, stray)
		}
	}
}

func TestDoctorSaysWhatMustBeChanged(t *testing.T) {
	url := redistest.Start(t, redistest.WithMaxMemory(64<<20, "allkeys-lru")).URL()
	out, stray, code := runDoctor(t, "", url)
	if code != 1 || !strings.Contains(stray, "rollcall doctor: 1 of ") ||
		!strings.Contains(out, "failed   eviction: maxmemory-policy is allkeys-lru\n           change: CONFIG SET maxmemory-policy noeviction") {
		t.Errorf("exit code %d\n%s%s", code, out, stray)
	}
	out, _, code = runDoctor(t, "", "--json", url)
	var report struct {
		OK       *bool  `json:"ok"`
		Kind     string `json:"kind"`
		Version  string `json:"version"`
		Findings []map[string]string
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 1 || report.OK == nil || *report.OK || report.Version == "" {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	for _, f := range report.Findings {
		for _, key := range []string{"check", "result", "detail", "remedy", "why"} {
			if _, ok := f[key]; !ok {
				t.Errorf("a finding lacks %s: %v", key, f)
			}
		}
	}
}

func TestDoctorWithoutAServer(t *testing.T) {
	out, stray, code := runDoctor(t, "", "redis://app:secret@127.0.0.1:1")
	if code != 1 || !strings.Contains(out, "failed   connection: ") || strings.Contains(out+stray, "secret") {
		t.Errorf("exit code %d\n%s%s", code, out, stray)
	}
	for _, args := range [][]string{nil, {"local:"}, {"ftp://x"}, {"redis://x?nothing=1"}, {"--timeout", "-1s", "redis://x"}, {"--nothing", "redis://x"}} {
		if out, stray, code := runDoctor(t, "", args...); code != 2 || out != "" || stray == "" {
			t.Errorf("%q: exit code %d\n%s%s", args, code, out, stray)
		}
	}
}

// The figures are those of package serverproof's tests.
func TestDoctorProves(t *testing.T) {
	out, stray, _ := runDoctor(t, "", "--prove", redistest.Start(t).URL())
	for _, want := range []string{" checks passed, ", "| fault | then |", "| all connections cut repeatedly | a watch shows a change | heartbeat + 1 s | "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s%s", want, out, stray)
		}
	}
}

func TestDoctorProvesNothingOfABadServer(t *testing.T) {
	url := redistest.Start(t, redistest.WithMaxMemory(64<<20, "allkeys-lru")).URL()
	out, stray, code := runDoctor(t, "", "--prove", "--json", url)
	if code != 1 || !strings.Contains(stray, "nothing was proved") || !strings.Contains(out, `"proof":null`) {
		t.Errorf("exit code %d\n%s%s", code, out, stray)
	}
}
