package deploytest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// runServer serves until SIGTERM, and then ends in its way.
func runServer(kind Kind, t task) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	backend, err := registry.Open(ctx, t.URL)
	if err != nil {
		return err
	}
	defer backend.Close()
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(t.Port)))
	if err != nil {
		return err
	}
	serving := sync.OnceFunc(func() { fmt.Println(lineServing) })
	server := kind.Server(func(n int) { serving(); work(n) })
	service := registry.ServiceInfo{Name: t.Service, ID: t.ID}
	if t.Way == Leave {
		return registry.Serve(ctx, backend, service, l, server.Serve, server.Shutdown)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	service.Address, service.Port = "127.0.0.1", t.Port
	if err := backend.Register(ctx, service); err != nil {
		return err
	}
	select {
	case err := <-served:
		return fmt.Errorf("serving ended: %w", err)
	case <-ctx.Done():
	}
	if t.Way == Stop {
		os.Exit(0)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := backend.Deregister(ctx, t.ID); err != nil {
		return err
	}
	time.Sleep(SleepTime)
	return server.Shutdown(ctx)
}
