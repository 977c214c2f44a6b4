// Package grpcresolver lets gRPC clients call services by their registered name.
//
// A gRPC client that is given an address keeps calling it when the server has
// moved; one that is given a DNS name learns late, and nothing of weights, zones
// and drains. With this package it follows a registry's watch:
//
//	conn, err := grpc.NewClient("rollcall:///api-service?zone=eu-1&version=^1",
//		grpcresolver.With(backend),
//		grpc.WithTransportCredentials(insecure.NewCredentials()))
//
// Instances that come, leave, drain or turn critical reach the client's policy
// within a moment. A drain waits for it: Drain and Leave return once the client
// starts no more calls on the instance; those under way end in peace. While
// the registry's backend is away, the client goes on with the instances last
// known, and the policy is told so.
//
// # Targets
//
// A target is rollcall:///NAME, with the name percent-encoded where it needs
// that ([Target] does it), and after a question mark which instances are meant:
//
//	zone=eu-1            prefer those with this zone in their Metadata; if there is none, all
//	version=^1.2         only those whose Version is in this range: ^1.2, ~1.2.3, >=1.2,<3
//	tag=blue             only those with this tag; may be repeated, all must be there
//	metadata.shard=7     only those with this Metadata; may be repeated, all must match
//
// A + stands for a space in a query: write %2B. An instance whose Version is no
// semantic version is in no range, and a pre-release such as 1.3.0-rc.1 only in
// one that names a pre-release, such as ^1.2-0. A target that is not acceptable
// fails the first call with an error that says what is wrong.
//
// With TLS, the server's certificate must be valid for the service's name,
// unless grpc.WithAuthority names another. Instances are called directly, also
// where HTTPS_PROXY is set, unless [WithProxyFromEnvironment] asks otherwise.
//
// # Connections
//
// An instance that registers again keeps its connection, also with other
// metadata, weight or version. A server that crashed and is back on its old port
// is called again as soon as it has registered: gRPC's backoff, which has grown up
// to two minutes by then, is for addresses at which nothing changed. Of two
// registrations of one address the newer counts.
//
// A client that was idle (30 minutes without a call, unless
// grpc.WithIdleTimeout says otherwise) watches nothing meanwhile. If the backend is
// unavailable when it is used again, it goes on with the instances that it knew.
//
// Clients with grpc.WithDisableServiceConfig get plain lists of addresses: for
// them gRPC's backoff and proxies (see grpc.WithNoProxy) are as with any target.
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
// report, and the others not at all. Policies of one's own find the weight and
// the zone with [Weight] and [Zone].
//
// # When nobody is there
//
// Calls fail at once with codes.Unavailable and a text that says whether nobody
// offers the service, nobody is well, or nobody matches the target. Calls with
// grpc.WaitForReady(true) wait for an instance instead.
//
// # Servers
//
// registry.Serve registers a server and ends it in order; [Shutdown] is its last
// argument:
//
//	err := registry.Serve(ctx, backend, service, listener, server.Serve, grpcresolver.Shutdown(server))
//
// grpc.Server.GracefulStop alone waits for open streams for ever. Shutdown waits
// until its context ends, with Serve for 30 s, and then cuts what is open.
//
// # Health
//
// [Probe] is the gRPC probe for package health, which keeps its own module free
// of gRPC.
package grpcresolver
