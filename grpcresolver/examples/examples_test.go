package examples

import (
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/testprogram"
	"github.com/rollcall-sd/rollcall/internal/testredis"
)

func TestGRPC(t *testing.T) {
	url := "-registry=" + testredis.Start(t).URL()
	server, client := testprogram.Build(t, "grpcserver"), testprogram.Build(t, "grpcclient")
	// It waits for somebody to answer.
	early := testprogram.Start(t, client, url)
	one := testprogram.Start(t, server, url, "-listen=127.0.0.1:0")
	if out := early.End(); strings.Count(out, "SERVING says 127.0.0.1:") != 3 {
		t.Errorf("the client printed\n%s", out)
	}
	two := testprogram.Start(t, server, url, "-listen=127.0.0.1:0")
	two.Await("serving on ")
	for _, s := range []*testprogram.Program{one, two} {
		if out := s.Terminate(); !strings.Contains(out, "nobody calls any more") || !strings.HasSuffix(out, "stopped in order\n") {
			t.Errorf("a server printed\n%s", out)
		}
		if s == one {
			if out := testprogram.Start(t, client, url, "-n=1").End(); !strings.HasPrefix(out, "SERVING says ") {
				t.Errorf("the client printed\n%s", out)
			}
		}
	}
}
