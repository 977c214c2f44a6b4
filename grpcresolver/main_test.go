package grpcresolver_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/rolling"
)

func TestMain(m *testing.M) {
	rolling.Main(deployed)
	goleak.VerifyTestMain(m)
}
