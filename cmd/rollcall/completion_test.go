package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
)

// bash runs the completion script as bash does at TAB, without the package
// bash-completion, and prints the completions.
const bash = `
compopt() { :; } # it works in a completion only
source <(rollcall completion bash) || exit
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
COMP_TYPE=9
__start_rollcall
printf '%s\n' "${COMPREPLY[@]}"
`

func TestCompletesInBash(t *testing.T) {
	url := redisWithPassword(t)
	registerAll(t, open(t, url),
		registry.ServiceInfo{ID: "api-1", Name: "api", Address: "10.0.0.1", Port: 1},
		registry.ServiceInfo{ID: "db-1", Name: "database", Address: "10.0.0.2", Port: 2})
	for line, want := range map[string]string{
		"rollcall und":            "undrain",
		"rollcall get a":          "api",
		"rollcall drain db":       "db-1",
		"rollcall maint api-1 of": "off",
		"rollcall ls --js":        "--json",
		"rollcall completion f":   "fish",
		"rollcall ls ":            "",
		"rollcall help wat":       "watch",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, "bash", append([]string{"-c", bash, "bash"}, strings.Split(line, " ")...)...)
		cmd.Env = append(os.Environ(), backendVariable+"="+url, "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		cancel()
		if got := strings.Fields(string(out)); err != nil || strings.Join(got, " ") != want && (len(got) == 0 || got[0] != want) {
			t.Errorf("%q completes to %q, error %v, want %q", line, out, err, want)
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	for shell, part := range map[string]string{"bash": "__start_rollcall", "zsh": "#compdef rollcall", "fish": "complete -c rollcall"} {
		rollcall(t, "", "completion", shell).want(t, 0, part, "")
	}
}
