// Command grpcclient calls the service of grpcserver by its name, on the
// current instances.
//
//	go run ./grpcresolver/examples/grpcclient -registry redis://localhost:6379
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/registry"
)

func main() {
	url := flag.String("registry", "redis://localhost:6379", "the registry")
	calls := flag.Int("n", 3, "how many calls to make")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *url, *calls); err != nil {
		slog.Error("call the gRPC service", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url string, calls int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	backend, err := registry.Open(ctx, url)
	if err != nil {
		return err
	}
	defer backend.Close()
	conn, err := grpc.NewClient("rollcall:///ask-me?version=^1",
		grpcresolver.With(backend),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := grpc_health_v1.NewHealthClient(conn)
	for range calls {
		var from peer.Peer
		// WaitForReady: without an instance, wait for one.
		answer, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true), grpc.Peer(&from))
		if err != nil {
			return err
		}
		fmt.Println(answer.GetStatus(), "says", from.Addr)
	}
	return nil
}
