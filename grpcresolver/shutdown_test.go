package grpcresolver_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/registry"
)

// A client holds a stream open; the server's end cuts it when its time is over.
func TestServeEndsWithAnOpenStream(t *testing.T) {
	b := localRegistry(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, grpchealth.NewServer())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	waiting, enough := make(chan struct{}), make(chan struct{})
	served := make(chan error, 1)
	go func() {
		served <- registry.Serve(ctx, b, registry.ServiceInfo{Name: "api"}, l, server.Serve, func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			down := make(chan error, 1)
			go func() { down <- grpcresolver.Shutdown(server)(ctx) }()
			close(waiting)
			<-enough
			cancel()
			return <-down
		})
	}()

	conn := client(t, b, "rollcall:///api")
	calling, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := grpc_health_v1.NewHealthClient(conn).Watch(calling, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	must(t, err)
	_, err = stream.Recv()
	must(t, err)

	stop()
	awaitClosed(t, waiting, "the call of shutdown")
	close(enough)
	select {
	case err := <-served:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Serve = %v, want that calls were cut", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Serve has not returned 20 s after shutdown's context ended")
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the open stream got %v, want Unavailable", err)
	}
}

// Without open calls nothing is cut, and the context may end later.
func TestShutdownOfAnIdleServer(t *testing.T) {
	s := start(t, "a")
	must(t, grpcresolver.Shutdown(s.grpc)(t.Context()))
}

func awaitClosed(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s has not come within 20 s", what)
	}
}
