package demo

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// orphanTimeout is how long a server process tries to stop in order. The demo
// kills it earlier; this is for when the demo has ended.
const orphanTimeout = 5 * time.Second

// RunServer is a server process of the demo: it registers the instance id on
// the backend at url, answers HTTP on 127.0.0.1, and leaves when ctx or stdin
// ends. Warnings go to stderr. The process is expected to exit when it returns.
func RunServer(ctx context.Context, url, id string, stdin io.Reader, stderr io.Writer) error {
	slog.SetDefault(newLogger(stderr))
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	// Only the end of the process or of the input ends this read.
	go func() {
		defer leave()
		_, _ = io.Copy(io.Discard, stdin)
	}()

	done := make(chan error, 1)
	go func() { done <- runServer(ctx, url, id) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(orphanTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errors.New("not deregistered in time; the registration expires after its TTL")
	}
}

func runServer(ctx context.Context, url, id string) (err error) {
	backend, err := registry.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	l, err := newListener()
	if err != nil {
		return err
	}
	s := newHTTPServer(id)
	return serve(ctx, backend, id, l, s, s.Serve)
}
