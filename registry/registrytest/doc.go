// Package registrytest tests implementations of registry.Registry, and programs
// that use one.
//
// # You wrote your own Registry
//
// An implementation with the right four methods compiles, and programs rely on
// more than that: that an unknown service is an empty list and an outage is an
// error, that values are the caller's own, that a registration outlives the context
// of its call, that instances of a crashed process go and those of a running one
// stay. Run shows that yours keeps those promises. Give it a way to open registries,
// and declare what they can do:
//
//	func TestConformance(t *testing.T) {
//		registrytest.Run(t, registrytest.Harness{
//			New: func(tb testing.TB) registrytest.Universe {
//				table := newTable(tb)
//				return registrytest.Universe{
//					Open: func(tb testing.TB) registry.Registry { return openOn(table, 2*time.Second) },
//				}
//			},
//			Shared: true, // two registries on one table see the same instances
//			Expiry: true, // and lose those of a crashed one
//			TTL:    2 * time.Second, Heartbeat: 500 * time.Millisecond,
//		})
//	}
//
// Each subtest is named after the promise that it tests, so its name says what
// broke. A capability that the harness does not declare is tested to be absent
// where that can be seen, and listed in one line of the log; one that is there but
// not declared is a failure. Nothing is skipped.
//
// A harness in memory sets Bubble, and every check runs on the fake clock of
// testing/synctest, which makes waiting free. On a real server a check waits by
// polling; with a TTL of 2 s the whole suite takes about 10 s. To each bound it adds
// the time for which the machine kept the test's process from running, so that
// load on the machine fails no check.
//
// # You wrote a program that uses one
//
// registry.NewLocalRegistry is the fake: a Backend with the same behavior and no
// server. NewFlaky wraps any Backend in one that is unavailable, stale, slow or
// superseded on command. For anything else write a decorator: a struct that embeds a
// real Backend, usually a local one, and overrides the methods of interest. Join,
// Serve, NewCachedRegistry and package balance call nothing but Backend's methods, so
// a decorator works with all of them. One that embeds a nil Backend panics in Serve.
package registrytest
