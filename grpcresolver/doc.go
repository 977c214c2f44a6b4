// Package grpcresolver lets gRPC clients call services by their registered name.
//
// A gRPC client with a fixed address keeps calling it when the server has
// moved. A client with a DNS name notices changes late, and does not know
// weights, zones and drains. With this package the client uses a registry's
// watch:
//
//	conn, err := grpc.NewClient("rollcall:///api-service?zone=eu-1&version=^1",
//		grpcresolver.With(backend),
//		grpc.WithTransportCredentials(insecure.NewCredentials()))
//
// The client's policy gets every change of the instances: registered, left,
// draining or critical. A drain waits for that: Drain and Leave return when
// the client starts no more calls on the instance; calls in flight are not
// interrupted. While the registry's backend is unavailable, the client uses
// the last known instances, and the resolver reports that to the policy.
//
// # Targets
//
// A target is rollcall:///NAME, with the name percent-encoded where necessary
// ([Target] does it), and after a question mark a selection of instances:
//
//	zone=eu-1            prefer those with this zone in their Metadata; if there is none, all
//	version=^1.2         only those whose Version is in this range: ^1.2, ~1.2.3, >=1.2,<3
//	tag=blue             only those with this tag; may be repeated, all must be there
//	metadata.shard=7     only those with this Metadata; may be repeated, all must match
//
// A + stands for a space in a query: write %2B. An instance whose Version is
// not a semantic version is in no range, and a pre-release such as 1.3.0-rc.1
// only in one that names a pre-release, such as ^1.2-0. A target that is not
// acceptable fails the first call with an error that says what is wrong.
//
// With TLS, the server's certificate must be valid for the service's name,
// unless grpc.WithAuthority names another. Instances are called directly, also
// where HTTPS_PROXY is set, unless [WithProxyFromEnvironment] asks otherwise.
//
// # Connections
//
// An instance that registers again keeps its connection, also with other
// metadata, weight or version. A server that crashed and is back on its old
// port is called again as soon as it has registered: gRPC's backoff, which has
// grown up to two minutes by then, is for addresses at which nothing changed.
// Of two registrations of one address the newer counts.
//
// A client that is idle (30 minutes without a call, unless
// grpc.WithIdleTimeout says otherwise) does not watch. If the backend is
// unavailable when the client is used again, it uses the instances that it
// knew.
//
// Clients with grpc.WithDisableServiceConfig get plain lists of addresses: for
// them gRPC's backoff and proxies (see grpc.WithNoProxy) are as with any
// target.
//
// # Policies
//
// The policy is round_robin unless [WithServiceConfig] says otherwise; as with
// every gRPC resolver, grpc.WithDefaultServiceConfig counts only together with
// grpc.WithDisableServiceConfig. All policies of grpc-go that take a list of
// endpoints work; those that are not built in must be imported:
//
//	round_robin                  built in
//	pick_first                   built in; sends everything to one instance
//	least_request_experimental   import _ "google.golang.org/grpc/balancer/leastrequest"
//	weighted_round_robin         import _ "google.golang.org/grpc/balancer/weightedroundrobin"
//	ring_hash_experimental       import _ "google.golang.org/grpc/balancer/ringhash"
//
// Of these, ring_hash_experimental and a pick_first that shuffles obey
// ServiceInfo.Weight. weighted_round_robin weighs by the load that servers
// report, and the others not at all. Your own policies get the weight and the
// zone with [Weight] and [Zone].
//
// # Without instances
//
// Calls fail at once with codes.Unavailable and a text that says whether the
// service has no instances, none of them is healthy, or none matches the
// target. Calls with grpc.WaitForReady(true) wait for an instance instead.
//
// # Servers
//
// registry.Serve registers a server and ends it in order; [Shutdown] is its
// last argument:
//
//	err := registry.Serve(ctx, backend, service, listener, server.Serve, grpcresolver.Shutdown(server))
//
// grpc.Server.GracefulStop alone waits for open streams for ever. Shutdown
// waits until its context ends, with Serve for 30 s, and then closes open
// streams.
//
// # Health
//
// [Probe] is the gRPC probe for package health, which keeps its own module
// free of gRPC.
package grpcresolver
