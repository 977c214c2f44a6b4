package health_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
)

// A server that loses its database stays up, but is no longer called until it
// has it back.
func ExampleNew() {
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			http.Error(w, "database unavailable", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()

	backend, err := health.New(registry.NewLocalRegistry(), health.WithInterval(50*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Close()
	address := server.Listener.Addr().(*net.TCPAddr)
	err = backend.Register(context.Background(), registry.ServiceInfo{
		Name: "api", Address: address.IP.String(), Port: address.Port, HealthEndpoint: "/health/ready",
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	wait := func(callable int) {
		for api := range backend.Watch(context.Background(), "api") {
			if len(api.Instances) == callable {
				return
			}
		}
	}
	wait(1)
	broken.Store(true)
	wait(0)
	instances, err := backend.Instances(context.Background(), "api")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(instances[0].Status+":", instances[0].Note)

	broken.Store(false)
	wait(1)
	fmt.Println("back")
	// Output:
	// critical: HTTP 503 Service Unavailable: database unavailable
	// back
}
