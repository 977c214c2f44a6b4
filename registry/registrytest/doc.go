// Package registrytest tests implementations of registry.Registry, and programs
// that use one.
//
// # You wrote your own Registry
//
// An implementation with the right four methods compiles, and programs rely on
// more than that: that an unknown service is an empty list and an outage is an
// error, that what they were handed is theirs, that a registration outlives the
// context of its call, that the crashed go and the living stay. Run shows that
// yours keeps those promises. Give it a way to open registries, and declare what
// they can do:
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
// broke. A power that the harness does not declare is tested to be absent where
// that can be seen, and listed in one line of the log; a power that is there but
// not declared is a failure. Nothing is skipped.
//
// A harness in memory sets Bubble, and every check runs on the fake clock of
// testing/synctest, which makes waiting free. On a real server a check waits by
// looking again and again; with a TTL of 2 s the whole suite takes about 10 s. To
// each bound it adds what it measured that the machine kept the test's process
// from running, so that other work beside it fails nothing.
//
// # You wrote a program that uses one
//
// NewFlaky wraps any registry.Backend in one that is away, stale, slow or
// superseded on command.
package registrytest
