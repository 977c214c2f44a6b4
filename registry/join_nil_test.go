package registry_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
)

// Nil arguments of Join are refused, with or without an ID.
func TestJoinRefusesNilArguments(t *testing.T) {
	backend := registry.NewLocalRegistry()
	defer backend.Close()
	for _, id := range []string{"", "a"} {
		service := registry.ServiceInfo{ID: id, Name: "api", Address: "h", Port: 1}
		_, err := registry.Join(t.Context(), nil, service)
		checkRefusesNil(t, "Join: backend", err)
		var none context.Context
		_, err = registry.Join(none, backend, service)
		checkRefusesNil(t, "Join: ctx", err)
	}
}

// A nil context is refused before anything is contacted.
func TestConstructorsRefuseANilContext(t *testing.T) {
	var none context.Context
	for _, url := range []string{"local:", "redis://127.0.0.1:1"} {
		_, err := registry.Open(none, url)
		checkRefusesNil(t, "ctx", err)
	}
	_, err := registry.NewRedisRegistry(none, registry.RedisRegistryConfig{RedisAddr: "127.0.0.1:1"})
	checkRefusesNil(t, "ctx", err)
}

func checkRefusesNil(t *testing.T, field string, err error) {
	t.Helper()
	if !errors.Is(err, registry.ErrInvalidConfig) || !strings.Contains(err.Error(), ": "+field+": is nil") {
		t.Errorf("%s is nil: %v", field, err)
	}
}
