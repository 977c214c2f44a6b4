package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/rollcall-sd/rollcall/registry"
)

// goroutines is the fleet on the in-memory backend: its servers run in this process,
// because the backend does.
type goroutines struct {
	backend registry.Backend
	fail    context.CancelCauseFunc // called when a server ends unexpectedly
	ctx     context.Context         // ends when all servers must stop
	stop    context.CancelFunc
	running sync.WaitGroup
}

func newGoroutines(backend registry.Backend, fail context.CancelCauseFunc) *goroutines {
	g := &goroutines{backend: backend, fail: fail}
	g.ctx, g.stop = context.WithCancel(context.Background())
	return g
}

func (g *goroutines) start(id string) (server, string, error) {
	l, err := newListener()
	if err != nil {
		return nil, "", fmt.Errorf("start %s: %w", id, err)
	}
	s := &goroutine{http: newHTTPServer(id), done: make(chan struct{})}
	ctx, stop := context.WithCancel(g.ctx)
	s.stop = stop
	g.running.Go(func() {
		defer close(s.done)
		defer stop()
		err := serve(ctx, g.backend, id, l, s.http, func(l net.Listener) error {
			err := s.http.Serve(l)
			if s.killed.Load() {
				// A killed process could not deregister.
				<-ctx.Done()
			}
			return err
		})
		if ctx.Err() == nil {
			g.fail(fmt.Errorf("server %s ended unexpectedly: %w", id, err))
		}
	})
	return s, "listens on " + l.Addr().String(), nil
}

func (g *goroutines) close() {
	g.stop()
	g.running.Wait()
}

// goroutine is one server of goroutines.
type goroutine struct {
	http   *http.Server
	killed atomic.Bool
	stop   context.CancelFunc
	done   chan struct{}
}

func (s *goroutine) kill() {
	s.killed.Store(true)
	// Listener and connections close at once; the error does not matter to a kill.
	_ = s.http.Close()
}

func (s *goroutine) leave() {
	s.stop()
	<-s.done
}
