// Package balance picks the instance that a request goes to.
//
// A [Transport] calls services over HTTP by their names. It finds the
// instances, spreads the load, prefers instances that are near and quick, and
// tries another when one has just died:
//
//	transport, err := balance.NewTransport(backend)
//	if err != nil {
//		return err
//	}
//	defer transport.Close()
//	client := &http.Client{Transport: transport}
//
//	resp, err := client.Get("http://api-service/users/7")
//
// For everything else, such as a pool of connections or another protocol, a
// [Balancer] picks an instance; report the result of the request with Done:
//
//	api, err := balance.New(backend, "api-service", balance.WithVersion("^1.2"))
//	...
//	picked, err := api.Pick(ctx)
//	if err != nil {
//		return err
//	}
//	reply, err := call(ctx, picked.HostPort(), request)
//	picked.Done(err)
//
// Both follow the service with a registry.Watcher: a goroutine per service
// takes each state of the watch, and a pick uses memory only. While the
// backend is unavailable they use the last known instances.
//
// # Who is picked
//
// Of two instances drawn at random, each with a chance according to its
// Weight, the one with fewer requests in flight from this process, relative to
// its weight, is called. If one of them has answered at less than half the
// speed of the other lately, stalls of a few milliseconds ignored, its latency
// counts as well. The latency of an instance that is no longer measured is
// assumed to fall with time, so that it is tried again.
//
// [WithTags], [WithMetadata] and [WithVersion] select instances, and
// [WithZone] prefers those nearby. What cannot be right, such as a version
// range that does not parse, fails in New and NewTransport.
//
// An instance that fails several times in a row, or to which no connection can
// be made, is ejected for a second, and for twice as long each time it fails
// again: see [Ejection]. At least one instance is always available. Only what
// the instance did counts: not that the request's own body broke or stalled,
// that the request cannot be written, that its caller cancelled it or closed
// the answer, that its deadline passed once the answer had begun (unless a
// body of known length was announced and nothing of it came), or that this
// machine has no descriptors, ports or memory left. A deadline that passes
// before the answer begins counts.
//
// Of two instances with one host and port, the newer registration is called:
// the other has died, and its lease has not ended yet. If the newer is
// critical or draining, or does not match the selection, neither is called.
//
// Without an instance to call, a call fails at once with an error that matches
// [ErrNoInstances]. The text says whether the service has no instances, none
// of them is healthy, or none matches the selection. [WithWait] waits for an
// instance instead.
//
// # Instances that leave
//
// When the watch says that an instance is gone, critical or draining, no new
// request goes to it. Requests in flight are not interrupted, also those on
// long-lived connections; connections to it are closed as they become idle,
// those of HTTP/2 within a second. The state is acknowledged to the watch when
// no request to the instance is in flight, or after 200 ms. A drain waits for
// that, so an instance does not stop while a request is on its way.
//
// An instance that registers again at the same address, with other metadata or
// another weight, say, keeps its connections, its count of requests in flight
// and what is known of its latency. One that comes back while requests are in
// flight to it keeps their count. If it was ejected, it gets one probe request
// at once. Another address, or another ID, is another process.
//
// # URLs
//
// The URL's host is the service's name, letter by letter; for a name that is
// no host, such as one with a blank, use [WithService]. A port is refused,
// because each instance has its own, except with WithService, where the host
// only names the Host header. That header is the URL's host, as with any
// client, unless the request sets Host. With https, certificates must be good
// for the URL's host, that is for the service rather than for single machines,
// unless TLSClientConfig.ServerName in [WithTransport] says otherwise.
//
// # What is repeated
//
// If no connection to an instance can be made, another instance is tried at once,
// whatever the method: nothing was sent. After a TLS handshake that failed, this
// needs the retry budget. It continues until every instance was tried, at most
// ten. A body without GetBody does not prevent it until it was read from.
//
// Once something may have been sent, a request is repeated only if it may be:
// GET, HEAD, OPTIONS, TRACE, PUT, DELETE, or any with an Idempotency-Key or
// X-Idempotency-Key header; and only if it has no body, or one with GetBody,
// as http.NewRequest sets it for bytes and strings. See [WithTries]. The case
// of a connection that the server closed while it was idle is net/http's,
// which repeats by the same rules on a new connection to the same instance. A
// response is never repeated, its status be what it may, and nothing is after
// the request's context has ended or its own body has broken.
//
// When many requests of a service fail, few are repeated: one for every five
// made, and ten a second. See [RetryBudget].
//
// # In flight
//
// A request counts as in flight until its response's body was read to the end
// or closed, or it failed. A response that is never closed counts for ever, as
// it keeps its connection for ever. A switched protocol (101) counts until it
// is closed, or both directions have ended; its body has CloseWrite, as
// net/http's.
package balance
