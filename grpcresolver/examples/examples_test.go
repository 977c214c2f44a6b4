package examples

import (
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/programtest"
	"github.com/rollcall-sd/rollcall/internal/redistest"
)

func TestGRPC(t *testing.T) {
	url := "-registry=" + redistest.Start(t).URL()
	server, client := programtest.Build(t, "grpcserver"), programtest.Build(t, "grpcclient")
	// The client waits for an instance.
	early := programtest.Start(t, client, url)
	one := programtest.Start(t, server, url, "-listen=127.0.0.1:0")
	if out := early.End(); strings.Count(out, "SERVING says 127.0.0.1:") != 3 {
		t.Errorf("the client printed\n%s", out)
	}
	two := programtest.Start(t, server, url, "-listen=127.0.0.1:0")
	two.Await("serving on ")
	for _, s := range []*programtest.Program{one, two} {
		if out := s.Terminate(); !strings.Contains(out, "no new calls") || !strings.HasSuffix(out, "stopped in order\n") {
			t.Errorf("a server printed\n%s", out)
		}
		if s == one {
			if out := programtest.Start(t, client, url, "-n=1").End(); !strings.HasPrefix(out, "SERVING says ") {
				t.Errorf("the client printed\n%s", out)
			}
		}
	}
}
