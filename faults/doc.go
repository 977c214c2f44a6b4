// Package faults holds tests of what the registry promises, on real servers, in
// real processes and in real time: one scenario in each file. It contains nothing
// but tests.
//
// The tests name promises by the numbers of docs/promises.md, which in turn
// names the tests that show each promise. A test that names none shows what the
// documentation of a call says, such as that of Drain.
//
// # Bounds
//
// A bound is the contract's, such as backBy or goneBy, and counts from the moment
// that the contract names. within and watchLog.await wait for what has to happen
// and compare the time that it took with the bound. checkBound does so for what
// has just happened. Write
//
//	at := time.Now()
//	within(t, at, backBy, "all in Discover", discoversExactly(reader, "web", want))
//
// Do not compare a duration with a bound by hand, and do not widen a bound for
// slow machines.
//
// # Stalls
//
// A loaded machine can keep a test's processes from running. Package stall
// measures for how long it did so: for this process, for the servers of
// redistest and for owners. stall.Measure adds another process that a bound
// depends on. The helpers above add the stall between the two moments to the
// bound. A test that compares in another form adds stall.Between itself.
//
// # Owners
//
// An owner is a process of its own, a copy of the test binary that registers
// instances and obeys commands (owner_test.go). A test can kill it, stop it or
// give it a wrong clock.
package faults
