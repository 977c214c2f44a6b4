package demo

import (
	"fmt"
	"slices"
	"testing"
)

func TestLines(t *testing.T) {
	var got []string
	w := &lineWriter{handle: func(line string) { got = append(got, line) }}
	for _, part := range []string{"on", "e\ntwo\nthr", "", "ee\n", "unfinished"} {
		if n, err := fmt.Fprint(w, part); n != len(part) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", part, n, err)
		}
	}
	if want := []string{"one", "two", "three"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLoggerIsQuiet(t *testing.T) {
	var got []string
	logger := newLogger(&lineWriter{handle: func(line string) { got = append(got, line) }})
	logger.Debug("registered")
	logger.Info("backend available again")
	logger.Warn("heartbeat failed", "service", "hello")
	if want := []string{`level=INFO msg="backend available again"`, `level=WARN msg="heartbeat failed" service=hello`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
