// Package faults shows what the registry promises on real servers, in real
// processes and in real time: one scenario a file. There is nothing but tests in it.
package faults

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/rolling"
)

func TestMain(m *testing.M) {
	if os.Getenv(ownerEnv) != "" {
		beOwner()
		return
	}
	rolling.Main(deployed)
	goleak.VerifyTestMain(m)
}
