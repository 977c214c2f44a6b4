package grpcresolver_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/deploytest"
)

func TestMain(m *testing.M) {
	deploytest.Main(deployed)
	goleak.VerifyTestMain(m)
}
