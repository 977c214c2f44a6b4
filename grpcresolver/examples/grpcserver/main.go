// Command grpcserver is a gRPC service that registers itself and, asked to stop by
// SIGTERM or Ctrl-C, leaves before it stops.
//
//	go run ./grpcresolver/examples/grpcserver -registry redis://localhost:6379
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/registry"
)

func main() {
	url := flag.String("registry", "redis://localhost:6379", "the registry")
	listen := flag.String("listen", ":0", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *url, *listen); err != nil {
		slog.Error("gRPC service", "error", err)
		os.Exit(1)
	}
	fmt.Println("stopped in order")
}

func run(ctx context.Context, url, listen string) error {
	backend, err := registry.Open(ctx, url)
	if err != nil {
		return err
	}
	defer backend.Close()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Println("serving on", l.Addr())

	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	shutdown := func(ctx context.Context) error {
		fmt.Println("no new calls; finishing calls in flight")
		return grpcresolver.Shutdown(server)(ctx) // calls that take too long are cut
	}
	service := registry.ServiceInfo{Name: "ask-me", Version: "1.0.0"}
	// When ctx ends: drain, deregister, and only then stop.
	return registry.Serve(ctx, backend, service, l, server.Serve, shutdown)
}
