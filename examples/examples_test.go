package examples

import (
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/programtest"
	"github.com/rollcall-sd/rollcall/internal/redistest"
)

func says(t *testing.T, output string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(output, text) {
			t.Errorf("%q is not in the output:\n%s", text, output)
		}
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	url := "-registry=" + redistest.Start(t).URL()
	server, client := programtest.Build(t, "httpserver"), programtest.Build(t, "httpclient")
	// The client waits for an instance.
	early := programtest.Start(t, client, url, "Ann", "Bob C")
	one := programtest.Start(t, server, url, "-listen=127.0.0.1:0")
	says(t, early.End(), "hello Ann from 127.0.0.1:", "hello Bob C from 127.0.0.1:")

	two := programtest.Start(t, server, url, "-listen=127.0.0.1:0", "-id=hello-two")
	two.Await("serving on ")
	says(t, one.Terminate(), "no new calls", "stopped in order")
	says(t, programtest.Start(t, client, url, "Cid").End(), "hello Cid from 127.0.0.1:")
	says(t, two.Terminate(), "stopped in order")
}

// The oldest leads; the next takes over when it leaves, and when it dies.
func TestWorker(t *testing.T) {
	t.Parallel()
	url := "-registry=" + redistest.Start(t).URL() + "?ttl=2s&heartbeat=500ms"
	worker := programtest.Build(t, "worker")
	start := func(id string) *programtest.Program {
		return programtest.Start(t, worker, url, "-shard=7", "-id="+id)
	}
	first := start("first")
	first.Await("leads shard 7\nat work\n")
	second := start("second")
	second.Await("stands by: first leads\n")
	third := start("third")
	third.Await("stands by: first leads\n")
	says(t, first.Terminate(), "stands by: asked to stop")
	second.Await("leads shard 7\nat work\n")
	third.Await("stands by: second leads\n")
	second.Kill()
	third.Await("leads shard 7\nat work\n")
	// A process that registers the ID of another takes over its work.
	usurper := start("third")
	third.Await("superseded by a newer owner")
	usurper.Await("leads shard 7\nat work\n")
	says(t, usurper.Terminate(), "stands by: asked to stop")
}
