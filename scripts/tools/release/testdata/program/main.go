// Command program uses each published package once, with the registry in memory.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/rollcall-sd/rollcall/balance"
	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	local, err := registry.Open(ctx, "local:")
	if err != nil {
		return err
	}
	backend, err := health.New(local, health.WithInterval(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer backend.Close()
	if err := callHTTP(ctx, backend); err != nil {
		return err
	}
	return callGRPC(ctx, backend)
}

// callHTTP calls an HTTP server by name.
func callHTTP(ctx context.Context, backend registry.Backend) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.NotFoundHandler()}
	defer server.Close()
	go server.Serve(listener)
	if err := register(ctx, backend, "web", listener); err != nil {
		return err
	}
	transport, err := balance.NewTransport(backend)
	if err != nil {
		return err
	}
	defer transport.Close()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://web/", nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// callGRPC calls a gRPC server by name.
func callGRPC(ctx context.Context, backend registry.Backend) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, grpchealth.NewServer())
	defer server.Stop()
	go server.Serve(listener)
	if err := register(ctx, backend, "rpc", listener); err != nil {
		return err
	}
	conn, err := grpc.NewClient("rollcall:///rpc", grpcresolver.With(backend),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	return err
}

func register(ctx context.Context, backend registry.Backend, name string, listener net.Listener) error {
	host, port, err := registry.AdvertiseAddr(listener.Addr())
	if err != nil {
		return err
	}
	return backend.Register(ctx, registry.ServiceInfo{Name: name, Address: host, Port: port})
}
