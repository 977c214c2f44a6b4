package grpcresolver_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/internal/deploytest"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Two gRPC servers are restarted, one after the other, again and again, while
// eight client processes call them.
//
// Leave and Serve drain, deregister, then stop: no call fails, although no client
// sleeps. Beside it, what becomes of the same when servers end otherwise.
func TestDeploysOverGRPC(t *testing.T) {
	server := redistest.Start(t)
	for _, plan := range deploytest.Ways(server.URL()) {
		r, err := deploytest.Run(t.Context(), plan)
		must(t, err)
		t.Logf("count: gRPC deploys, %s: %d of %d requests failed in %d restarts", plan.Way, r.Failed, r.Requests, r.Restarts)
		t.Logf("figure: gRPC deploys, %s: a server's end on average %d ms", plan.Way, r.Stop.Round(time.Millisecond).Milliseconds())
		if plan.Way == deploytest.Leave && r.Failed > 0 {
			t.Errorf("%d of %d requests failed, for one:\n%s", r.Failed, r.Requests, strings.Join(r.Errors, "\n"))
		}
	}
}

// deployed is what the processes of a deploy speak here.
var deployed = deploytest.Kind{Server: echoServer, Client: echoClient}

const echo = "/rollcall.test.Echo/Echo"

// echoServer answers with the number that it is sent.
func echoServer(work func(n int)) deploytest.Server {
	server := grpc.NewServer()
	answer := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		n := new(wrapperspb.Int64Value)
		if err := decode(n); err != nil {
			return nil, err
		}
		work(int(n.GetValue()))
		return n, nil
	}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "rollcall.test.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: answer}},
	}, nil)
	return deploytest.Server{
		Serve:    func(l net.Listener) error { return server.Serve(l) },
		Shutdown: grpcresolver.Shutdown(server),
	}
}

func echoClient(watcher registry.Watcher, service string) (func(context.Context, int) error, func(), error) {
	conn, err := grpc.NewClient(grpcresolver.Target(service),
		grpcresolver.With(watcher), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, err
	}
	call := func(ctx context.Context, n int) error {
		answer := new(wrapperspb.Int64Value)
		err := conn.Invoke(ctx, echo, wrapperspb.Int64(int64(n)), answer)
		if err == nil && answer.GetValue() != int64(n) {
			err = fmt.Errorf("%d, want %d", answer.GetValue(), n)
		}
		return err
	}
	return call, func() { conn.Close() }, nil
}
