package registry_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
)

// Nil arguments of Serve are refused, and the listener is closed.
func TestServeRefusesNilArguments(t *testing.T) {
	var server http.Server
	backend := registry.NewLocalRegistry()
	defer backend.Close()
	type function = func(net.Listener) error
	for field, c := range map[string]struct {
		ctx      context.Context
		backend  registry.Backend
		serve    function
		shutdown func(context.Context) error
	}{
		"ctx":      {nil, backend, server.Serve, server.Shutdown},
		"backend":  {t.Context(), nil, server.Serve, server.Shutdown},
		"serve":    {t.Context(), backend, nil, server.Shutdown},
		"shutdown": {t.Context(), backend, server.Serve, nil},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		err = registry.Serve(c.ctx, c.backend, registry.ServiceInfo{Name: "api"}, l, c.serve, c.shutdown)
		if !errors.Is(err, registry.ErrInvalidConfig) || !strings.Contains(err.Error(), "Serve: "+field+": is nil") {
			t.Errorf("%s is nil: %v", field, err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s is nil: the listener is open: %v", field, err)
		}
	}
	err := registry.Serve(t.Context(), backend, registry.ServiceInfo{Name: "api"}, nil, server.Serve, server.Shutdown)
	if !errors.Is(err, registry.ErrInvalidConfig) {
		t.Errorf("no listener: %v", err)
	}
}
