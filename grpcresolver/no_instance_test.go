package grpcresolver_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

// expectError calls until the error has the text.
func expectError(t *testing.T, conn *grpc.ClientConn, text string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, err := who(t.Context(), conn)
		if status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("error %v, want an Unavailable with %q", err, text)
		}
	}
}

func TestNoInstanceToCall(t *testing.T) {
	eachFailingFast(t, func(t *testing.T, policy grpcresolver.Option) {
		b := localRegistry(t)
		flaky := registrytest.NewFlaky(b)
		conn := client(t, flaky, "rollcall:///api", policy)
		expectError(t, conn, `rollcall: no instances of "api"`)
		a := start(t, "a")
		register(t, b, a.service())
		ready(t, conn)
		must(t, b.SetStatus(t.Context(), "a", registry.StatusCritical, ""))
		expectError(t, conn, `rollcall: no callable instances of "api": 1 critical, 0 draining`)
		flaky.DisconnectWatches(errors.New("line cut"))
		expectError(t, conn, `1 critical, 0 draining, as far as is known`)
		flaky.Reconnect()
		must(t, b.SetStatus(t.Context(), "a", registry.StatusPassing, ""))
		ready(t, conn)
	})
}

func TestWaitForReadyWaits(t *testing.T) {
	eachBackend(t, func(t *testing.T, b registry.Backend) {
		conn := client(t, b, "rollcall:///api")
		expectError(t, conn, "no instances of")
		type answer struct {
			id  string
			err error
		}
		waiting := make(chan answer, 1)
		go func() {
			id, err := who(t.Context(), conn, grpc.WaitForReady(true))
			waiting <- answer{id, err}
		}()
		expectError(t, conn, "no instances of") // meanwhile, a call that does not wait fails
		register(t, b, start(t, "a").service())
		select {
		case got := <-waiting:
			if got.err != nil || got.id != "a" {
				t.Errorf("the call that waited got %+v", got)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the call that waited has not returned within 20 s")
		}
		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := who(impatient, conn, grpc.WaitForReady(true)); status.Code(err) != codes.Canceled {
			t.Errorf("a call whose context ended: %v", err)
		}
	})
}

// A client that starts while the backend is unavailable says so, and works as soon
// as it answers.
func TestStartsWhileTheBackendIsUnavailable(t *testing.T) {
	b := localRegistry(t)
	register(t, b, start(t, "a").service())
	flaky := registrytest.NewFlaky(b)
	flaky.Disconnect(errors.New("no route"))
	conn := client(t, flaky, "rollcall:///api")
	expectError(t, conn, `nothing is known of "api" yet`)
	expectError(t, conn, "no route")
	flaky.Reconnect()
	ready(t, conn)
}

func TestRegistryCloses(t *testing.T) {
	b := registry.NewLocalRegistry()
	register(t, b, start(t, "a").service())
	conn := client(t, b, "rollcall:///api")
	until(t, conn, "a")
	must(t, b.Close())
	until(t, conn, "a")
	expectError(t, client(t, b, "rollcall:///api"), "closed")
}

func TestUsersOwnConfig(t *testing.T) {
	b := localRegistry(t)
	register(t, b, start(t, "a").service(), start(t, "b").service())
	// gRPC's switch for: my config, not the resolver's.
	conn := dial(t, "rollcall:///api", grpcresolver.With(b), grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"pick_first":{}}]}`))
	if count := answers(t, conn, 20); len(count) != 1 {
		t.Errorf("answers came from %v, want pick_first's one", count)
	}
}
