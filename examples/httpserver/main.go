// Command httpserver is an HTTP service that registers itself and, asked to stop
// by SIGTERM or Ctrl-C, leaves before it stops.
//
//	go run ./examples/httpserver -registry redis://localhost:6379
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/rollcall-sd/rollcall/registry"
)

func main() {
	url := flag.String("registry", "redis://localhost:6379", "the registry")
	listen := flag.String("listen", ":0", "address to listen on")
	id := flag.String("id", "", "ID of this instance; generated if empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *url, *listen, *id); err != nil {
		slog.Error("hello service", "error", err)
		os.Exit(1)
	}
	fmt.Println("stopped in order")
}

func run(ctx context.Context, url, listen, id string) error {
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

	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s from %s", r.URL.Path[1:], l.Addr())
	})}
	shutdown := func(ctx context.Context) error {
		fmt.Println("no new calls; finishing requests in flight")
		return server.Shutdown(ctx)
	}
	service := registry.ServiceInfo{ID: id, Name: "hello", Version: "1.0.0"}
	// When ctx ends: drain, deregister, and only then shut down.
	return registry.Serve(ctx, backend, service, l, server.Serve, shutdown)
}
