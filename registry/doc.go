// Package registry lets the instances of a service find each other through an
// existing Redis server, or within one process through memory.
//
// A program that calls another must know where that one runs now: at which
// addresses, which of them are callable, and when that changes. Addresses in
// configuration files become wrong with every deploy and every crash. Here each
// instance registers itself and keeps its registration alive with a heartbeat; when
// it dies, its lease expires. Callers ask for a service by name, or watch it.
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
// A server should call [Serve] instead, which registers, serves, and leaves before
// it stops. One backend per process is enough: all its methods are safe for
// concurrent use, and its one heartbeat and one subscription serve all instances
// and all watches of the process.
//
// Discover returns instances whose owner's heartbeat arrived in time and whose status
// is callable. That does not prove that a call will succeed: a caller still needs
// timeouts, and a second instance to try.
//
// # Errors
//
// Errors begin with what failed and on what, and match one of these with errors.Is:
//
//   - [ErrInvalidService], [ErrInvalidConfig]: the input is not acceptable; the
//     text names the field. Nothing was stored, and a retry is of no use.
//   - [ErrUnavailable]: the backend could not be reached or refused. Register,
//     Deregister, Discover and Snapshot have retried before they return it: until
//     the context's deadline, for at most 3 s.
//   - [ErrClosed]: the registry was closed.
//   - [ErrSuperseded], [ErrDeregistered]: why a [Membership] was lost.
//   - [ErrNotFound]: SetStatus, Drain or Undrain of an ID that no live instance has.
//   - [ErrNotReady]: a cache has no state of that service yet.
//   - context.Canceled, context.DeadlineExceeded: the caller's own context ended.
//     Calls then return whatever the state of the connection.
//
// An error is never an empty list, and an empty list is never an error: if Discover
// returns no instances and nil, Redis holds none. An instance whose Register returned
// an error is not kept alive, but may be visible for one TTL. A Deregister that
// returns an error has nevertheless stopped the heartbeat.
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
// rediss instead of redis means TLS. namespace=… separates environments on one
// server. [ParseURL] lists all parameters, and returns a configuration to which a
// Logger or an Observer can be added for [NewRedisRegistry]. Keep passwords out of
// URLs with password_file=…; no error or log line shows one. Passwords and
// certificates in files may change while the program runs.
//
// # Watching
//
// Watch yields the current state at once and another after each change:
//
//	for api := range backend.Watch(ctx, "api") {
//		pool.Set(api.Instances)
//	}
//
// Each [Snapshot] is complete: there are no changes to add up. A slow loop receives
// the newest state, not a backlog. The loop ends with ctx, with a break, or with
// Close, and at no other time: there is no error to handle and no watch to restart.
// Two consecutive snapshots may have the same instances, as Stale or Others may be
// what changed.
//
// While Redis is unavailable, and after it came back empty, a watch keeps the last
// known state, and Stale says why it may be out of date. It drops an instance only on
// evidence: the instance was deregistered, its lease expired while the watch was
// connected, or its ID was registered under another name. Discover and Snapshot
// differ: they return what Redis holds at that moment, or fail.
//
// # Caching
//
// [NewCachedRegistry] adds a cache to a backend. It watches the services that it is
// asked for, and its Discover answers from memory, also while Redis is unavailable.
// Lookup does not even copy: it is fast enough for every request.
//
// # Joining
//
// [Join] registers, retries while the backend is unavailable, and returns a
// [Membership] that says when it was lost: because a newer process registered the
// same ID, or because the instance was deregistered. Leave ends it. [Serve] is
// Join for a listener, in the order that a deploy needs: register when the server
// listens, leave first and stop after. A program that calls Register itself learns
// of a loss by [Backend].NotifyLost. Close deregisters nothing; a process that closes
// without leaving stays listed for one TTL.
//
// # Status
//
// Health and draining are two facts that any process may set on any instance,
// by its ID. SetStatus sets the health: critical instances are not in Discover, and
// in a watch they are in Others instead of Instances. Drain has the same effect, and
// returns once every process that watches the service has acknowledged the state
// without the instance; Undrain ends the drain. Both facts survive heartbeats and losses.
//
// # Why did it go?
//
// [Backend].Events returns what the backend remembers of a service's changes, oldest
// first: when an instance was registered, replaced, deregistered, moved to another
// service or expired, when its status was set and when it was drained, and which
// process did it:
//
//	events, err := backend.Events(ctx, "api")
//	for _, e := range events {
//		fmt.Println(e.Time, e.ID, e.Kind, e.By, e.Note)
//	}
//
// An [Event] of an expiry says whose the instance was and when its last heartbeat was. At
// least the last 100 changes of a service are there, and the removals of the last 10
// minutes, or of the last day if another process than the owner did it. Heartbeats cost
// nothing for that. Events are for people and are no evidence: after Redis lost its
// memory there are none from before, and what a process of a version without events did
// shows without who did it, or not at all. [RedisRegistryConfig].Name sets how a process
// is shown.
//
// # Testing
//
// [NewLocalRegistry] has the same behavior without a server, and works in a
// testing/synctest bubble, if everything that uses it is inside. Package registrytest
// has a backend that is unavailable, stale, slow or superseded on command, and
// the conformance suite.
package registry
