package serverprogram

import (
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	for text, want := range map[string]string{
		"Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4\n": "Redis 7.0.15",
		"Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=5f7\n": "Valkey 8.0.1",
		"usage: something else\n": "",
		"":                        "",
	} {
		if got := parseVersion(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if Version() == "" {
		t.Error("the server program does not say its version")
	}
}

func TestMissingProgramNamesTheRemedy(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for value, remedy := range map[string]string{"": "make setup", "/none/valkey-server": "REDIS_SERVER=/none/valkey-server"} {
		t.Setenv(Env, value)
		if path, err := Path(); err == nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s=%q: got %q, %v", Env, value, path, err)
		}
	}
}
