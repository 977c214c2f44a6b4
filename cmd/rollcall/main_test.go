package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binary is the built program: these tests run it, as a user does.
var binary string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rollcall-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "rollcall")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args       []string
		code       int
		out, stray string // what stdout and stderr contain; empty: nothing
	}{
		"alone":             {nil, 0, "Commands:", ""},
		"help":              {[]string{"help"}, 0, "  demo ", ""},
		"--help":            {[]string{"--help"}, 0, "Exit codes:", ""},
		"help of a command": {[]string{"help", "demo"}, 0, "--backend URL", ""},
		"-h of a command":   {[]string{"demo", "-h"}, 0, "--backend URL", ""},
		"help of nothing":   {[]string{"help", "nothing"}, 2, "", `unknown command "nothing"`},
		"version":           {[]string{"version"}, 0, "rollcall ", ""},
		"--version":         {[]string{"--version"}, 0, "rollcall ", ""},
		"unknown command":   {[]string{"nothing"}, 2, "", `unknown command "nothing"`},
		"unknown flag":      {[]string{"demo", "--nothing"}, 2, "", "flag provided but not defined: -nothing"},
		"extra argument":    {[]string{"demo", "nothing"}, 2, "", `unexpected argument "nothing"`},
		"server by hand":    {[]string{"demo-server", "x"}, 2, "", "only \"rollcall demo\" starts this command"},
		"unknown scheme":    {[]string{"demo", "--backend", "ftp://h"}, 2, "", "--backend"},
		"bad URL":           {[]string{"demo", "--backend", "redis://:secret@[::1"}, 2, "", "--backend"},
		"bad parameter":     {[]string{"demo", "--backend", "redis://:secret@h?nothing=1"}, 2, "", "nothing"},
		"bad lease":         {[]string{"demo", "--backend", "redis://:secret@h?ttl=1ms"}, 2, "", "TTL"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(binary, test.args...)
			var out, stray strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &stray
			_ = cmd.Run() // the exit code is looked at below
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			check(t, "stdout", out.String(), test.out)
			check(t, "stderr", stray.String(), test.stray)
		})
	}
}

// check fails the test unless got contains want, or is empty if want is; a
// password must never be in it.
func check(t *testing.T, stream, got, want string) {
	t.Helper()
	if want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("%s is %q, want %q in it", stream, got, want)
	}
	if strings.Contains(got, "secret") {
		t.Errorf("%s shows the password: %q", stream, got)
	}
}
