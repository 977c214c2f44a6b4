// Package serverprogram finds the server program that tests and benchmarks run on.
package serverprogram

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Env is the environment variable that names the program, by path or by its name in
// PATH. Without it redis-server is used.
const Env = "REDIS_SERVER"

// Path returns the path of the program. The same program serves as a Sentinel when
// it is started with --sentinel.
func Path() (string, error) {
	name := cmp.Or(os.Getenv(Env), "redis-server")
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case os.Getenv(Env) != "":
		return "", fmt.Errorf("%s=%s is no program: name one that takes the arguments of redis-server, or unset it: %w", Env, name, err)
	}
	return "", fmt.Errorf("a real redis-server is needed and there is none: run `make setup`: %w", err)
}

// Version returns the program's name and version, such as "Redis 7.0.15" or
// "Valkey 8.0.1"; "" when it cannot be run.
func Version() string {
	path, err := Path()
	if err != nil {
		return ""
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return ""
	}
	return parseVersion(string(out))
}

// parseVersion reads what --version prints: "Redis server v=7.0.15 sha=…".
func parseVersion(text string) string {
	kind, rest, _ := strings.Cut(text, " ")
	for word := range strings.FieldsSeq(rest) {
		if version, ok := strings.CutPrefix(word, "v="); ok {
			return kind + " " + version
		}
	}
	return ""
}
