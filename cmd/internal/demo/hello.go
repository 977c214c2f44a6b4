package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// shutdownDelay is how long a server keeps answering after it deregistered, for
// callers that read the list just before.
const shutdownDelay = 200 * time.Millisecond

// newListener listens on a free port that only this machine reaches.
func newListener() (net.Listener, error) {
	return net.Listen("tcp", "127.0.0.1:0")
}

// greeting is what the server of that instance ID answers.
func greeting(id string) string { return "hello from " + id }

func newHTTPServer(id string) *http.Server {
	return &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, greeting(id))
		}),
	}
}

// serve registers the HTTP server, serves until ctx ends, leaves, and stops.
func serve(ctx context.Context, backend registry.Backend, id string, l net.Listener, s *http.Server,
	run func(net.Listener) error) error {
	info := registry.ServiceInfo{ID: id, Name: service, Version: "demo"}
	err := registry.Serve(ctx, backend, info, l, run, func(ctx context.Context) error {
		pause(ctx, shutdownDelay)
		return s.Shutdown(ctx)
	})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// pause waits for d or the end of ctx, whose cause it then returns.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
