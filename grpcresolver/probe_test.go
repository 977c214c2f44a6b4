package grpcresolver_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
)

func TestProbe(t *testing.T) {
	statuses := grpchealth.NewServer()
	statuses.SetServingStatus("my.Service", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	well := start(t, "well", withHealth(statuses))
	bare, gone := start(t, "bare"), start(t, "gone")
	gone.grpc.Stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	mute := &server{id: "mute", addr: l.Addr().String()} // accepts and never answers
	for _, test := range []struct {
		server   *server
		endpoint string
		limit    time.Duration
		status   registry.Status
		note     string
	}{
		{well, "", 20 * time.Second, registry.StatusPassing, "gRPC SERVING"},
		{well, "my.Service", 20 * time.Second, registry.StatusCritical, "gRPC NOT_SERVING"},
		{well, "unknown.Service", 20 * time.Second, registry.StatusCritical, "gRPC: NotFound: unknown service"},
		{bare, "", 20 * time.Second, registry.StatusCritical, "gRPC: the server has no grpc.health.v1 service"},
		{gone, "", 20 * time.Second, registry.StatusCritical, "refused"},
		{mute, "", 100 * time.Millisecond, registry.StatusCritical, "gRPC: no answer in time"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), test.limit)
		got := grpcresolver.Probe()(ctx, health.Target{Instance: test.server.service(), Endpoint: test.endpoint})
		cancel()
		if got.Status != test.status || !strings.Contains(got.Note, test.note) {
			t.Errorf("%s %q: %+v, want %s with %q", test.server.id, test.endpoint, got, test.status, test.note)
		}
	}
}

// A server that says it does not serve gets no calls until it does, in other
// processes' clients as well.
func TestProbedServerLeavesAndComesBack(t *testing.T) {
	eachBackend(t, func(t *testing.T, b registry.Backend) {
		checked, err := health.New(b,
			health.WithInterval(20*time.Millisecond), health.WithFall(1),
			health.WithLogger(slog.New(slog.DiscardHandler)), health.WithProbe("grpc", grpcresolver.Probe()))
		if err != nil {
			t.Fatal(err)
		}
		defer checked.Close()
		statuses := grpchealth.NewServer()
		probed, other := start(t, "probed", withHealth(statuses)), start(t, "other")
		register(t, checked, other.service(),
			probed.service(func(s *registry.ServiceInfo) { s.HealthEndpoint = "grpc:my.Service" }))
		conn := client(t, b, "rollcall:///api")
		until(t, conn, "other") // it does not know my.Service yet
		for range 2 {
			statuses.SetServingStatus("my.Service", grpc_health_v1.HealthCheckResponse_SERVING)
			until(t, conn, "other", "probed")
			statuses.SetServingStatus("my.Service", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
			until(t, conn, "other")
		}
	})
}

// withHealth makes a server offer a health service.
func withHealth(statuses *grpchealth.Server) func(*grpc.Server) {
	return func(s *grpc.Server) { grpc_health_v1.RegisterHealthServer(s, statuses) }
}
