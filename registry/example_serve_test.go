package registry_test

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/rollcall-sd/rollcall/registry"
)

// A graceful stop: the instance leaves first and the server stops afterwards, so
// that all watches of the service have dropped it before connections are refused.
func ExampleServe() {
	// A program would take: signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	backend := registry.NewLocalRegistry()
	defer backend.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}

	go func() {
		for api := range backend.Watch(context.Background(), "api") {
			if len(api.Instances) == 1 {
				stop() // it is listed: time to go
			}
		}
	}()
	server := &http.Server{Handler: http.NotFoundHandler()}
	shutdown := func(ctx context.Context) error {
		left, err := backend.Discover(ctx, "api")
		fmt.Println(len(left), "instances are listed when the server begins to stop, error:", err)
		return server.Shutdown(ctx)
	}
	err = registry.Serve(ctx, backend, registry.ServiceInfo{Name: "api"}, listener, server.Serve, shutdown)
	fmt.Println("served:", err)
	// Output:
	// 0 instances are listed when the server begins to stop, error: <nil>
	// served: <nil>
}
