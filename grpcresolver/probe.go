package grpcresolver

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/rollcall-sd/rollcall/health"
)

// Probe returns the probe for HealthEndpoints of the form "grpc:" and
// "grpc:my.package.Service", to be plugged into package health:
//
//	health.New(backend, health.WithProbe("grpc", grpcresolver.Probe()))
//
// It makes a connection to the instance, calls Check of grpc.health.v1 for the
// whole server or that service, and closes it. Only SERVING is passing.
// Connections are made without TLS, unless options say otherwise. With TLS, the
// server's certificate must be valid for the service's name, as with [With],
// unless grpc.WithAuthority names another.
func Probe(options ...grpc.DialOption) health.Probe {
	options = append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(), // the way to probe is the direct one
		grpc.WithUserAgent("rollcall-health"),
	}, options...)
	return func(ctx context.Context, target health.Target) health.Result {
		instance := &target.Instance
		to := append(slices.Clone(options), grpc.WithResolvers(oneAddress(instance.HostPort())))
		conn, err := grpc.NewClient(Target(instance.Name), to...)
		if err != nil {
			return health.Critical("gRPC: " + err.Error())
		}
		defer conn.Close()
		answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx,
			&grpc_health_v1.HealthCheckRequest{Service: target.Endpoint})
		switch code := status.Code(err); {
		case code == codes.DeadlineExceeded:
			return health.Critical("gRPC: no answer in time")
		case code == codes.Unimplemented:
			return health.Critical("gRPC: the server has no grpc.health.v1 service")
		case err != nil:
			return health.Critical(fmt.Sprintf("gRPC: %s: %s", code, status.Convert(err).Message()))
		case answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING:
			return health.Passing("gRPC SERVING")
		}
		return health.Critical("gRPC " + answer.GetStatus().String())
	}
}

// oneAddress resolves any target to one address. The client then has the
// authority that it has with With, and takes the server's certificate for that.
type oneAddress string

func (oneAddress) Scheme() string { return Scheme }

func (a oneAddress) Build(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	return a, cc.UpdateState(resolver.State{Addresses: []resolver.Address{{Addr: string(a)}}})
}

func (oneAddress) ResolveNow(resolver.ResolveNowOptions) {}
func (oneAddress) Close()                                {}
