// Package registry lets the instances of a service find each other through the
// Redis that is there already, or within one process through memory.
//
// A program that calls another needs to know where that one runs now: which
// addresses, which of them to call, and when that changes. Addresses written
// into configuration go stale with every deploy and every crash. Here each
// instance registers itself, keeps its registration alive with a heartbeat, and
// goes with its lease when it dies. Whoever calls asks for a service by name,
// or watches it.
//
//	backend, err := registry.Open(ctx, "redis://localhost:6379")
//	if err != nil {
//		return err
//	}
//	defer backend.Close()
//
//	err = backend.Register(ctx, registry.ServiceInfo{Name: "api", Address: "10.0.0.5", Port: 8080})
//	instances, err := backend.Discover(ctx, "api")
//
// A program that listens rather calls [Serve], which registers, serves, and
// leaves before it stops. One backend per process is enough: all its methods
// are safe for concurrent use, and all that it keeps going (one heartbeat, one
// subscription) serves all instances and all watches of the process.
//
// An instance in Discover is one whose owner's heartbeat arrived in time and
// whose status lets it be called. That is no proof that a call will succeed: a
// caller still needs timeouts, and a second instance to turn to.
//
// # Errors
//
// Errors say what failed and on what, and wrap one of these, for errors.Is:
//
//   - [ErrInvalidService], [ErrInvalidConfig]: the input is not acceptable; the
//     text names the field. Nothing was stored, and trying again is no use.
//   - [ErrUnavailable]: the backend could not be reached or refused. Register,
//     Deregister, Discover and Snapshot have tried again by themselves before
//     they say so: until the context's deadline, for 3 s at the most.
//   - [ErrClosed]: the registry was closed.
//   - [ErrSuperseded], [ErrDeregistered]: why a [Membership] was lost.
//   - [ErrNotFound]: SetStatus, Drain or Undrain of an ID that no live instance has.
//   - [ErrNotReady]: a cache has not heard of that service yet.
//   - context.Canceled, context.DeadlineExceeded: the caller's own context
//     ended. Calls return then whatever the connection does.
//
// An error is never an empty list, and an empty list is never an error: when
// Discover returns none and nil, Redis holds none. A Register that returns an
// error is not kept alive, but what was sent may have arrived and then shows
// for one TTL. A Deregister that returns an error has stopped the heartbeat
// nevertheless.
//
// # URLs
//
// [Open] takes one line of configuration:
//
//	local:                                                    this process's memory
//	redis://user:password@host:6379/0?ttl=30s&heartbeat=10s   one server
//	redis+sentinel://h1:26379/mymaster?addr=h2:26379          Sentinels
//	redis+cluster://h1:6379?addr=h2:6379                      a Redis Cluster
//
// rediss in place of redis means TLS. namespace=… keeps environments apart on
// one server. [ParseURL] lists all parameters, and gives a configuration to
// which a Logger or an Observer can be added for [NewRedisRegistry]. Passwords
// are best kept out of URLs, with password_file=…; no error or log shows one.
//
// # Watching
//
// Watch yields the present state at once and another after each change:
//
//	for api := range backend.Watch(ctx, "api") {
//		pool.Set(api.Instances)
//	}
//
// Each [Snapshot] is complete, so that nothing has to be added up. A slow loop
// is handed the newest state, not a backlog. The loop ends with ctx, with a
// break, or with Close, and at no other time: there is no error to handle and
// nothing to start again. Two that follow each other may list the same
// instances: what changed may be Stale, or Others.
//
// While Redis is away, came back empty, or was frozen, a watch keeps what it
// knew, and Stale says why that may be out of date. It drops an instance only on
// evidence: it left, its lease ran out while the watch could see, or it stands
// under another name. Discover and Snapshot are different: they say what Redis
// holds at that moment, or fail.
//
// # Caching
//
// [NewCachedRegistry] puts a cache before a backend. It watches what it is
// asked for, and its Discover answers from memory, also while Redis is away.
// Lookup does not even copy: it is for the path of every request.
//
// # Joining
//
// [Join] registers, goes on trying while the backend is away, and returns a
// [Membership] that says when it was lost: because a newer process registered
// the same ID, or because somebody deregistered it. Leave ends it. [Serve] is
// Join for a listener, with the order that a deploy needs: register when the
// server listens, leave first and stop after. Close deregisters nothing; a
// process that closes without leaving stays listed for one TTL.
//
// # Status
//
// Health and draining are two facts that any process may set on any instance,
// by its ID. SetStatus sets the health: critical instances leave Discover and
// the Instances of a watch, and stand in its Others. Drain takes an instance out
// likewise, and returns once every process that watches the service has taken
// the state without it; Undrain ends that. Both survive heartbeats and losses.
//
// # Testing
//
// [NewLocalRegistry] has the same behavior without a server, and works in a
// testing/synctest bubble, if all that uses it is inside. Package registrytest has a backend that is away,
// stale, slow or superseded on command, and the conformance suite.
package registry
