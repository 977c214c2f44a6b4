package measure

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Machine says what the figures were measured on.
func Machine() string {
	parts := []string{
		fmt.Sprintf("%d processors (%s)", runtime.NumCPU(), field("/proc/cpuinfo", "model name")),
		fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH),
	}
	if out, err := exec.Command("redis-server", "--version").Output(); err == nil {
		for _, word := range strings.Fields(string(out)) {
			if v, ok := strings.CutPrefix(word, "v="); ok {
				parts = append(parts, "Redis "+v+" on loopback, without persistence")
			}
		}
	}
	return strings.Join(parts, "; ")
}

func content(name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return "unknown"
	}
	return string(data)
}

// field returns the first value of a name in a file of "name: value" lines.
func field(file, name string) string {
	for _, line := range strings.Split(content(file), "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
