package registry_test

import (
	"context"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func instance(name, id string) registry.ServiceInfo {
	return registry.ServiceInfo{ID: id, Name: name, Address: "10.0.0.1", Port: 80}
}

// eachBackend runs a test on memory and on Redis. open returns another registry
// of the same universe; in memory it is the same one.
func eachBackend(t *testing.T, test func(t *testing.T, open func() registry.Backend)) {
	t.Run("local", func(t *testing.T) {
		r := registry.NewLocalRegistry()
		t.Cleanup(func() { r.Close() })
		test(t, func() registry.Backend { return r })
	})
	t.Run("redis", func(t *testing.T) {
		url := redistest.Start(t).URL() + "?ttl=2s&heartbeat=500ms"
		test(t, func() registry.Backend {
			r, err := registry.Open(context.Background(), url)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Close() })
			return r
		})
	})
}
