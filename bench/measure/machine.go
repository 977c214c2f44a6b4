package measure

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/rollcall-sd/rollcall/internal/serverprogram"
)

// Machine says what the figures were measured on.
func Machine() string {
	parts := []string{
		fmt.Sprintf("%d processors (%s)", runtime.NumCPU(), field("/proc/cpuinfo", "model name")),
		fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH),
	}
	if version := serverprogram.Version(); version != "" {
		parts = append(parts, version+" on loopback, without persistence")
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
