package faults

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/deploytest"
)

func TestMain(m *testing.M) {
	if os.Getenv(ownerEnv) != "" {
		runOwner()
		return
	}
	deploytest.Main(deployed)
	goleak.VerifyTestMain(m)
}
