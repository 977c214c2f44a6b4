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
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
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
	tests := map[string]struct {
		args       []string
		code       int
		out, stray string // what stdout and stderr contain; empty: nothing
	}{
		"alone":               {nil, 0, "  register ", ""},
		"help":                {[]string{"help"}, 0, "  demo ", ""},
		"--help":              {[]string{"--help"}, 0, "Exit codes:", ""},
		"help of a command":   {[]string{"help", "demo"}, 0, "--backend URL", ""},
		"-h of a command":     {[]string{"demo", "-h"}, 0, "--backend URL", ""},
		"help of nothing":     {[]string{"help", "nothing"}, 2, "", `unknown command "nothing"`},
		"help of hidden":      {[]string{"help", "demo-server"}, 2, "", `unknown command "demo-server"`},
		"version":             {[]string{"version"}, 0, "rollcall ", ""},
		"version in JSON":     {[]string{"version", "--json"}, 0, `"go":"go1.`, ""},
		"--version":           {[]string{"--version"}, 0, "rollcall ", ""},
		"unknown command":     {[]string{"nothing"}, 2, "", `unknown command "nothing"`},
		"similar command":     {[]string{"wacth"}, 2, "", `did you mean watch?`},
		"URL as command":      {[]string{"redis://:secret@h"}, 2, "", "unknown command"},
		"URL as argument":     {[]string{"ls", "redis://user:secret@h"}, 2, "", "unexpected argument"},
		"unknown flag":        {[]string{"demo", "--nothing"}, 2, "", "unknown flag: --nothing"},
		"extra argument":      {[]string{"demo", "nothing"}, 2, "", `unexpected argument "nothing"`},
		"server by hand":      {[]string{"demo-server", "x"}, 2, "", "only \"rollcall demo\" starts this command"},
		"unknown scheme":      {[]string{"demo", "--backend", "ftp://h"}, 2, "", "--backend"},
		"bad URL":             {[]string{"demo", "--backend", "redis://:secret@[::1"}, 2, "", "--backend"},
		"bad parameter":       {[]string{"demo", "--backend", "redis://:secret@h?nothing=1"}, 2, "", "nothing"},
		"bad lease":           {[]string{"demo", "--backend", "redis://:secret@h?ttl=1ms"}, 2, "", "TTL"},
		"bad URL of ls":       {[]string{"ls", "--backend", "redis://:secret@h?nothing=1"}, 2, "", "nothing"},
		"no backend":          {[]string{"ls"}, 2, "", "ROLLCALL_BACKEND"},
		"no name":             {[]string{"get"}, 2, "", "NAME is missing"},
		"empty name":          {[]string{"get", ""}, 2, "", "NAME is empty"},
		"bad name":            {[]string{"get", "a\tb", "--backend", "local:"}, 2, "", "Name"},
		"watch of a bad name": {[]string{"watch", "a\tb", "--backend", "local:"}, 2, "", "Name"},
		"maint of nothing":    {[]string{"maint", "x"}, 2, "", "on|off is missing"},
		"maint neither":       {[]string{"maint", "x", "up"}, 2, "", "on or off"},
		"reason for off":      {[]string{"maint", "x", "off", "--reason", "r"}, 2, "", "--reason"},
		"drain for 0":         {[]string{"drain", "x", "--timeout", "0s"}, 2, "", "--timeout"},
		"no port":             {[]string{"register", "--name", "a"}, 2, "", "--port"},
		"no service name":     {[]string{"register", "--port", "1"}, 2, "", "--name"},
		"bad port":            {[]string{"register", "--name", "a", "--port", "70000"}, 2, "", "Port"},
		"bad tag":             {[]string{"register", "--name", "a", "--port", "1", "--tag", ""}, 2, "", "Tag"},
		"bad metadata":        {[]string{"register", "--name", "a", "--port", "1", "--meta", "x"}, 2, "", "key=value"},
		"bad check":           {[]string{"register", "--name", "a", "--port", "1", "--check", "ftp:x"}, 2, "", "HealthEndpoint"},
		"bad interval":        {[]string{"register", "--name", "a", "--port", "1", "--check", "/h", "--check-interval", "-1s"}, 2, "", "Interval"},
		"check once":          {[]string{"register", "--name", "a", "--port", "1", "--check", "/h", "--once"}, 2, "", "--once"},
		"nothing to run":      {[]string{"run", "--name", "a", "--port", "1"}, 2, "", "command to run"},
		"run without port":    {[]string{"run", "--name", "a", "--", "true"}, 2, "", "--port"},
		"run without wait":    {[]string{"run", "--name", "a", "--port", "0", "--stop-timeout", "0", "--", "true"}, 2, "", "--stop-timeout"},
		"bad weight to run":   {[]string{"run", "--name", "a", "--port", "0", "--weight", "-1", "--", "true"}, 2, "", "Weight"},
		"unknown shell":       {[]string{"completion", "cmd"}, 2, "", `unknown shell "cmd"`},
		"ls of memory":        {[]string{"ls", "--backend", "local:"}, 0, "SERVICE  PASSING", ""},
		"ls in JSON":          {[]string{"ls", "--backend", "local:", "--json"}, 0, "[]\n", ""},
		"get of nothing":      {[]string{"get", "a", "--backend", "local:"}, 3, "", `no instances of "a"`},
		"get in JSON":         {[]string{"get", "a", "--backend", "local:", "--json"}, 3, "[]\n", `no instances of "a"`},
		"deregister nothing":  {[]string{"deregister", "a", "--backend", "local:"}, 3, "", `no instance has the ID "a"`},
		"drain nothing":       {[]string{"drain", "a", "--backend", "local:"}, 3, "", `no instance has the ID "a"`},
		"undrain nothing":     {[]string{"undrain", "a", "--backend", "local:"}, 3, "", "not found"},
		"maint on nothing":    {[]string{"maint", "a", "on", "--backend", "local:"}, 3, "", "not found"},
		"register in memory":  {[]string{"register", "--name", "a", "--id", "a1", "--port", "1", "--once", "--backend", "local:"}, 0, "registered a1 of a at ", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rollcall(t, "", test.args...).want(t, test.code, test.out, test.stray)
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

// Every command explains itself.
func TestHelpOfEachCommand(t *testing.T) {
	list := rollcall(t, "").out
	for _, name := range []string{
		"register", "deregister", "ls", "get", "watch", "why", "drain", "undrain", "maint", "run", "demo", "doctor", "version", "completion", "help",
	} {
		if !strings.Contains(list, "\n  "+name+" ") {
			t.Errorf("the list of commands lacks %s:\n%s", name, list)
		}
		r := rollcall(t, "", "help", name)
		r.want(t, 0, "Usage:\n  rollcall "+name, "")
		if short := rollcall(t, "", name, "--help"); short != r {
			t.Errorf("help %s and %s --help differ", name, name)
		}
		if lines := strings.Split(r.out, "\n"); len(lines) < 5 {
			t.Errorf("the help of %s is only %q", name, r.out)
		}
	}
	if strings.Contains(list, "demo-server") {
		t.Errorf("the list of commands has the hidden one:\n%s", list)
	}
}
