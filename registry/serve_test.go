package registry_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return l
}

// journal records events in order.
type journal struct {
	mu   sync.Mutex
	what []string
}

func (j *journal) note(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.what = append(j.what, what)
}

// leaving records when an instance is drained and deregistered.
type leaving struct {
	registry.Backend
	journal *journal
}

func (l leaving) Drain(ctx context.Context, id string) error {
	l.journal.note("drain")
	return l.Backend.Drain(ctx, id)
}

func (l leaving) Deregister(ctx context.Context, id string) error {
	l.journal.note("deregister")
	return l.Backend.Deregister(ctx, id)
}

// awaitInstances waits until a watch shows n instances of a service.
func awaitInstances(t *testing.T, w registry.Watcher, name string, n int) registry.Snapshot {
	t.Helper()
	watch := func(ctx context.Context) iter.Seq[registry.Snapshot] { return w.Watch(ctx, name) }
	return waittest.State(t, watch, fmt.Sprintf("%d instances of %q", n, name), func(s registry.Snapshot) bool { return len(s.Instances) == n })
}

func TestServeLeavesBeforeItShutsDown(t *testing.T) {
	var j journal
	r := leaving{registry.NewLocalRegistry(), &j}
	defer r.Close()
	l := listen(t)
	server := &http.Server{Handler: http.NotFoundHandler()}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- registry.Serve(ctx, r, registry.ServiceInfo{Name: "api"}, l, server.Serve, func(ctx context.Context) error {
			j.note("shutdown")
			return server.Shutdown(ctx)
		})
	}()
	s := awaitInstances(t, r, "api", 1)
	if got := s.Instances[0].HostPort(); got != l.Addr().String() {
		t.Errorf("registered as %s, want %s", got, l.Addr())
	}
	stop()
	must(t, waittest.Receive(t, served, "Serve to return"))
	if !slices.Equal(j.what, []string{"drain", "deregister", "shutdown"}) {
		t.Errorf("order was %v", j.what)
	}
	awaitInstances(t, r, "api", 0)
}

func TestServeEndsWithWhatServeReturned(t *testing.T) {
	r := registry.NewLocalRegistry()
	defer r.Close()
	broken := errors.New("broken")
	err := registry.Serve(t.Context(), r, instance("api", "a"), listen(t),
		func(l net.Listener) error { return errors.Join(broken, l.Close()) },
		func(context.Context) error { return nil })
	if !errors.Is(err, broken) {
		t.Fatalf("Serve = %v", err)
	}
	awaitInstances(t, r, "api", 0)
}

func TestServeServesWhileTheBackendIsUnavailable(t *testing.T) {
	flaky := registrytest.NewFlaky(registry.NewLocalRegistry())
	defer flaky.Close()
	flaky.Disconnect(nil)
	l := listen(t)
	server := &http.Server{Handler: http.NotFoundHandler()}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- registry.Serve(ctx, flaky, instance("api", "a"), l, server.Serve, server.Shutdown)
	}()
	resp, err := http.Get("http://" + l.Addr().String())
	must(t, err)
	must(t, resp.Body.Close())
	flaky.Reconnect()
	awaitInstances(t, flaky, "api", 1)
	stop()
	must(t, waittest.Receive(t, served, "Serve to return"))
}

func TestServeEndsWhenItsMembershipIsLost(t *testing.T) {
	flaky := registrytest.NewFlaky(registry.NewLocalRegistry())
	defer flaky.Close()
	server := &http.Server{Handler: http.NotFoundHandler()}
	served := make(chan error, 1)
	go func() {
		served <- registry.Serve(t.Context(), flaky, instance("api", "a"), listen(t), server.Serve, server.Shutdown)
	}()
	awaitInstances(t, flaky, "api", 1)
	if !flaky.Supersede("a") {
		t.Fatal("nothing to supersede")
	}
	if err := waittest.Receive(t, served, "Serve to return"); !errors.Is(err, registry.ErrSuperseded) {
		t.Fatalf("Serve = %v", err)
	}
}

func TestServeRefusesAnInvalidServiceAndStopsServing(t *testing.T) {
	r := registry.NewLocalRegistry()
	defer r.Close()
	server := &http.Server{Handler: http.NotFoundHandler()}
	err := registry.Serve(t.Context(), r, registry.ServiceInfo{}, listen(t), server.Serve, server.Shutdown)
	if !errors.Is(err, registry.ErrInvalidService) {
		t.Fatalf("Serve without a name = %v", err)
	}
}
