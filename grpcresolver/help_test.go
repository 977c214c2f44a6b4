package grpcresolver_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/registry"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// server is a gRPC server that says who it is.
type server struct {
	id          string
	addr        string
	grpc        *grpc.Server
	connections chan struct{} // one for each that was made
}

const method = "/rollcall.test.Who/Who"

func start(t testing.TB, id string, setUp ...func(*grpc.Server)) *server {
	t.Helper()
	return startWith(t, id, nil, setUp...)
}

func startWith(t testing.TB, id string, options []grpc.ServerOption, setUp ...func(*grpc.Server)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return serve(t, id, l, options, setUp...)
}

// startAt starts a server on an address that another one had.
func startAt(t testing.TB, id, addr string) *server {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	must(t, err)
	return serve(t, id, l, nil)
}

func serve(t testing.TB, id string, l net.Listener, options []grpc.ServerOption, setUp ...func(*grpc.Server)) *server {
	t.Helper()
	s := &server{id: id, addr: l.Addr().String(), connections: make(chan struct{}, 1000)}
	s.grpc = grpc.NewServer(append(options, grpc.StatsHandler(s))...)
	for _, f := range setUp {
		f(s.grpc)
	}
	answer := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		if err := decode(new(emptypb.Empty)); err != nil {
			return nil, err
		}
		return wrapperspb.String(id), nil
	}
	s.grpc.RegisterService(&grpc.ServiceDesc{
		ServiceName: "rollcall.test.Who", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Who", Handler: answer}},
	}, s)
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(l) }()
	t.Cleanup(func() {
		s.grpc.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("server %s: %v", id, err)
		}
	})
	return s
}

func (s *server) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (s *server) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (s *server) HandleRPC(context.Context, stats.RPCStats)                         {}

func (s *server) HandleConn(_ context.Context, event stats.ConnStats) {
	if _, begins := event.(*stats.ConnBegin); begins {
		s.connections <- struct{}{}
	}
}

// service is the server's registration.
func (s *server) service(change ...func(*registry.ServiceInfo)) registry.ServiceInfo {
	host, port, _ := net.SplitHostPort(s.addr)
	n, _ := strconv.Atoi(port)
	info := registry.ServiceInfo{ID: s.id, Name: "api", Address: host, Port: n}
	for _, c := range change {
		c(&info)
	}
	return info
}

func register(t testing.TB, b registry.Backend, services ...registry.ServiceInfo) {
	t.Helper()
	for _, s := range services {
		must(t, b.Register(t.Context(), s))
	}
}

func dial(t testing.TB, target string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	stall.Measure(t)
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient(target, options...)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func client(t testing.TB, w registry.Watcher, target string, options ...grpcresolver.Option) *grpc.ClientConn {
	t.Helper()
	return dial(t, target, grpcresolver.With(w, options...))
}

func who(ctx context.Context, conn *grpc.ClientConn, options ...grpc.CallOption) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	answer := new(wrapperspb.StringValue)
	err := conn.Invoke(ctx, method, new(emptypb.Empty), answer, options...)
	return answer.GetValue(), err
}

// answers calls n times and counts who answered. No call may fail.
func answers(t testing.TB, conn *grpc.ClientConn, n int) map[string]int {
	t.Helper()
	count := make(map[string]int)
	for range n {
		id, err := who(t.Context(), conn)
		must(t, err)
		count[id]++
	}
	return count
}

// until calls until those who answered ten calls for each of ids are just these.
func until(t testing.TB, conn *grpc.ClientConn, ids ...string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		count := answers(t, conn, 10*len(ids))
		n := 0
		for _, id := range ids {
			if count[id] > 0 {
				n++
			}
		}
		if n == len(ids) && len(count) == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("answers came from %v, want all of %v and no other", count, ids)
		}
	}
}

// ready waits until an instance answers.
func ready(t testing.TB, conn *grpc.ClientConn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := who(ctx, conn, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
}

func localRegistry(t testing.TB) *registry.LocalRegistry {
	b := registry.NewLocalRegistry()
	t.Cleanup(func() { b.Close() })
	return b
}

// eachBackend runs a test on memory and on Redis.
func eachBackend(t *testing.T, test func(t *testing.T, b registry.Backend)) {
	t.Run("local", func(t *testing.T) {
		test(t, localRegistry(t))
	})
	t.Run("redis", func(t *testing.T) {
		test(t, openRedis(t, redistest.Start(t)))
	})
}

func openRedis(t testing.TB, server *redistest.Server) registry.Backend {
	t.Helper()
	b, err := registry.NewRedisRegistry(t.Context(), registry.RedisRegistryConfig{
		RedisAddr: server.Addr(), TTL: 2 * time.Second, HeartbeatInterval: 200 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}
