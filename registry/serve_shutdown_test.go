package registry_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// addressed is a listener with an address that accepts nothing.
type addressed struct {
	net.Listener
	closed chan struct{}
}

func (addressed) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (l addressed) Close() error {
	close(l.closed)
	return nil
}

// Serve returns although shutdown waits for a stream that never ends, or the server
// continues to serve.
func TestServeReturnsIfShutdownDoesNot(t *testing.T) {
	for name, test := range map[string]struct {
		shutdownReturns, serveReturns bool
		want                          string // in the error; "" for none
	}{
		"orderly":                 {true, true, ""},
		"shutdown never returns":  {false, true, "shutdown has not returned"},
		"serve never returns":     {true, false, "serve has not returned"},
		"neither of them returns": {false, false, "shutdown has not returned"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := registry.NewLocalRegistry()
				defer r.Close()
				release, down := make(chan struct{}), make(chan struct{})
				defer close(release)
				serve := func(net.Listener) error {
					<-down
					if !test.serveReturns {
						<-release
					}
					return nil
				}
				var cut atomic.Bool // shutdown's context ended
				shutdown := func(ctx context.Context) error {
					close(down)
					if !test.shutdownReturns {
						<-ctx.Done()
						cut.Store(true)
						<-release
					}
					return nil
				}
				ctx, stop := context.WithCancel(t.Context())
				l := addressed{closed: make(chan struct{})}
				served := make(chan error, 1)
				go func() { served <- registry.Serve(ctx, r, registry.ServiceInfo{Name: "api"}, l, serve, shutdown) }()
				synctest.Wait()
				stop()
				const bound = 42 * time.Second // as documented
				select {
				case err := <-served:
					if test.want == "" {
						must(t, err)
						return
					}
					if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), test.want) {
						t.Errorf("Serve = %v, want a deadline and %q", err, test.want)
					}
				case <-time.After(bound):
					t.Fatalf("Serve has not returned %s after its context ended", bound)
				}
				if cut.Load() == test.shutdownReturns {
					t.Errorf("shutdown's context ended: %t", cut.Load())
				}
				select {
				case <-l.closed:
				default:
					t.Error("the listener was left open")
				}
				if s, err := r.Snapshot(t.Context(), "api"); err != nil || len(s.Instances) != 0 {
					t.Errorf("left behind: %+v, %v", s.Instances, err)
				}
			})
		})
	}
}
