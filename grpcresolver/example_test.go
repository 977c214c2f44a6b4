package grpcresolver_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
)

// A server that registers itself, and a client that calls it by name.
func ExampleWith() {
	backend := registry.NewLocalRegistry() // or registry.Open(ctx, "redis://…")
	defer backend.Close()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, grpchealth.NewServer())
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() {
		service := registry.ServiceInfo{Name: "api-service", Version: "1.4.2"}
		served <- registry.Serve(ctx, backend, service, listener, server.Serve, grpcresolver.Shutdown(server))
	}()

	conn, err := grpc.NewClient("rollcall:///api-service?version=^1",
		grpcresolver.With(backend),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	fmt.Println(answer.GetStatus(), err)

	stop()
	fmt.Println(<-served)
	// Output:
	// SERVING <nil>
	// <nil>
}

// A backend that asks each gRPC server registered through it whether it works.
func ExampleProbe() {
	backend, err := health.New(registry.NewLocalRegistry(),
		health.WithInterval(5*time.Second),
		health.WithProbe("grpc", grpcresolver.Probe()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Close()

	err = backend.Register(context.Background(), registry.ServiceInfo{
		Name: "api-service", Address: "127.0.0.1", Port: 9000, HealthEndpoint: "grpc:",
	})
	fmt.Println(err)
	// Output: <nil>
}
