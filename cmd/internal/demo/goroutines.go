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

// goroutines is the fleet on the in-memory backend, which lives in one process:
// its servers do too.
type goroutines struct {
	backend registry.Backend
	fail    context.CancelCauseFunc // told when a server ends unasked
	ctx     context.Context         // ends when all are to leave
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
				// A killed process would not come back here to deregister.
				<-ctx.Done()
			}
			return err
		})
		if ctx.Err() == nil {
			g.fail(fmt.Errorf("server %s ended by itself: %w", id, err))
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
	// Listener and connections close at once; its error would be of no use to the dead.
	_ = s.http.Close()
}

func (s *goroutine) leave() {
	s.stop()
	<-s.done
}
