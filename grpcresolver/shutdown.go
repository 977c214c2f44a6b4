package grpcresolver

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
)

// Shutdown returns the function that registry.Serve calls to stop a server. It
// accepts no more calls and waits for those under way. Those that are still open
// when the context ends, such as streams without an end, are cut; it then
// returns an error that matches the context's, as http.Server.Shutdown does.
//
// Serve's context ends after 30 s. To wait less, give it an earlier deadline:
//
//	func(ctx context.Context) error {
//		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
//		defer cancel()
//		return grpcresolver.Shutdown(server)(ctx)
//	}
func Shutdown(server *grpc.Server) func(context.Context) error {
	return func(ctx context.Context) error {
		cut := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(cut)
			server.Stop()
		})
		server.GracefulStop()
		if stop() {
			return nil
		}
		<-cut
		return fmt.Errorf("rollcall: gRPC calls that were still open were cut: %w", ctx.Err())
	}
}
