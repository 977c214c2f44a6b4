// Package health removes instances that cannot do their work from discovery,
// and adds them again when they can.
//
// A heartbeat shows that a process lives, not that it can serve: a server with
// a full disk, a lost database or a deadlocked handler keeps sending
// heartbeats, stays listed and fails every call. [New] wraps a backend so that
// instances that are registered through it are also probed every few seconds:
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
// The results of the probes add up to a verdict (see [WithRise] and [WithFall]),
// which becomes the instance's status, with a note that says why. A critical
// instance leaves Discover and every watch. It stays registered and
// is probed further, and returns when its probes pass. Without a Checker, a
// registration causes traffic with the backend only.
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
// redirects are not followed. A body need not end: it is read for a note only.
// A probe without an answer within WithTimeout is critical, whatever the
// answer is later. WithHost sets the Host header and the TLS name of HTTP
// probes of the instance's own address. Without a HealthEndpoint an instance
// is not probed. The gRPC probe is in a module of its own, so that this
// package does not depend on gRPC:
//
//	health.New(backend, health.WithProbe("grpc", grpcresolver.Probe()))
//
// WithProbe adds probes for other schemes in the same way. Register refuses an
// endpoint for which there is no probe.
//
// # Who probes
//
// The process that registered an instance probes it while it owns the
// registration. When a newer owner registers the ID, or another process
// deregisters it, the earlier owner stops: it learns of that with its
// heartbeat. Before it writes a verdict, it checks that the backend still has
// the instance that was probed. While the backend is unavailable, probing
// continues, and a verdict that could not be written is written after the next
// probe. A verdict survives the loss of the backend's memory: the owner
// registers the instance again together with its status.
//
// A verdict is written when it differs from the last, so a status that is set
// by hand stays until then. Draining is separate from health: no probe starts
// or ends a drain.
package health
