// Package faults shows what the registry promises on real servers, in real
// processes and in real time: one scenario a file. There is nothing but tests in it.
//
// A bound is the contract's, such as backBy or goneBy, and counts from the moment
// that the contract names. within and await wait for what has to happen and hold
// it against the bound, inTime does so for what has just happened. They add the
// machine's stall between the two moments, as package stall measures it for the
// servers of redistest, for owners and for this process; another process that a
// bound depends on is added by stall.Measure. So write
//
//	at := time.Now()
//	within(t, at, backBy, "all in Discover", lists(reader, "web", want))
//
// and do not compare a duration with a bound by hand or widen a bound for slow
// machines. A test with a comparison of another form adds stall.Between to it.
package faults

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/deploytest"
)

func TestMain(m *testing.M) {
	if os.Getenv(ownerEnv) != "" {
		beOwner()
		return
	}
	deploytest.Main(deployed)
	goleak.VerifyTestMain(m)
}
