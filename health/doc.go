// Package health takes instances that cannot do their work out of discovery,
// and puts them back when they can.
//
// A heartbeat shows that a process lives, not that it can serve: a server with
// a full disk, a lost database or a deadlocked handler goes on beating, stays
// listed and fails every call. [New] wraps a backend so that what is
// registered through it is also asked, every few seconds, whether it works:
//
//	backend, err := registry.Open(ctx, "redis://localhost:6379")
//	if err != nil {
//		return err
//	}
//	checked, err := health.New(backend, health.WithInterval(5*time.Second))
//	if err != nil {
//		return err
//	}
//	defer checked.Close()
//
//	service := registry.ServiceInfo{Name: "api", HealthEndpoint: "/health/ready"}
//	return registry.Serve(ctx, checked, service, listener, server.Serve, server.Shutdown)
//
// The verdict becomes the instance's status, with a note that says why. A
// critical instance leaves Discover and every watch; it stays registered, goes
// on being probed, and comes back by itself. Without a Checker, registering makes
// no network traffic but that with the backend.
//
// # What is probed
//
// [registry.ServiceInfo.HealthEndpoint] says how:
//
//	/health/ready              HTTP GET on Address:Port
//	https:/health/ready        the same over TLS; http: works as well
//	https://:8443/health       over TLS, on Address and that port
//	http://host:8081/health    HTTP GET of that URL; https:// works as well
//	tcp:                       a connection to Address:Port can be made
//	tcp:host:9000              a connection to host:9000 can be made
//	grpc:                      grpc.health.v1 Check on Address:Port, of the whole server
//	grpc:my.package.Service    the same, of one service
//
// A status of 200 to 299 is passing, 429 is a warning, anything else critical;
// redirects are not followed. A body need not end: it is read for a note only. A
// probe that has no answer within WithTimeout is critical, whatever it says
// later. WithHost sets the Host header and the TLS name of HTTP probes of the
// instance's own address. Without a HealthEndpoint an instance is not
// probed. The gRPC probe lives in a module of its own, so that nobody takes
// gRPC along who has no use for it:
//
//	health.New(backend, health.WithProbe("grpc", grpcresolver.Probe()))
//
// Probes for other schemes are plugged in the same way. An endpoint for which
// there is no probe is refused by Register.
//
// # Who probes
//
// The process that registered an instance probes it, while the registration is
// its own. Once a newer owner has registered the ID, or somebody deregistered
// it, the earlier owner stops: it is told with its heartbeat, and before it
// writes a verdict it looks whether the backend still has the instance that was
// probed. While the backend is away, probing goes on; a verdict that could not
// be written is written after the next probe, until it stands. A loss of the
// backend's whole memory takes no verdict away: the owner registers the
// instance again together with its status.
//
// A verdict is written when it differs from the last, so a status that somebody
// sets by hand stands until then. Draining is another matter than health: no
// probe starts or ends it.
package health
