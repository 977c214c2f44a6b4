// Package deploytest deploys servers: it restarts them one after the other, under
// constant load from client processes, and counts the requests that fail. All
// are real processes, for tests: runs of the test's own binary, whose TestMain
// calls Main first. Linux only.
package deploytest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// Kind is the protocol of the servers and clients of a test binary.
type Kind struct {
	// Server returns a server that calls work for each request, with the
	// number that the request brings.
	Server func(work func(n int)) Server
	// Client returns a function that sends a request with a number and reads its
	// answer, and one that ends the client.
	Client func(watcher registry.Watcher, service string) (call func(ctx context.Context, n int) error, end func(), err error)
}

// Server is a server that a process runs.
type Server struct {
	Serve    func(net.Listener) error
	Shutdown func(context.Context) error
}

// Way is how a server ends.
type Way string

const (
	// Leave is registry.Serve: drain, deregister, then shut down.
	Leave Way = "leave"
	// Sleep is: deregister, sleep for SleepTime, then shut down.
	Sleep Way = "deregister and sleep"
	// Stop is: exit at once.
	Stop Way = "just stop"
)

// SleepTime is how long a server sleeps in the way of that name.
const SleepTime = time.Second

// Each slowEvery-th request takes slowTime, which is longer than a client waits for
// requests in flight before it acknowledges a state.
const (
	slowEvery = 500
	slowTime  = 300 * time.Millisecond
)

// work is what a server does for request n.
func work(n int) {
	if n%slowEvery == 0 {
		time.Sleep(slowTime)
	}
}

// processEnv makes the test binary a process of a deploy: it holds the task.
const processEnv = "ROLLCALL_ROLLING"

// task is what a process does.
type task struct {
	Role    string // server or client
	URL     string
	Service string
	ID      string // of a server
	Port    int
	Way     Way
	First   int // a client's first number
}

// Lines that processes print.
const (
	lineServing = "serving" // a server, after its first request
	lineResult  = "result " // a client, at its end; a tally in JSON follows
)

// Main runs a process that Run started. In any other process it returns at once.
func Main(kind Kind) {
	text := os.Getenv(processEnv)
	if text == "" {
		return
	}
	var t task
	err := json.Unmarshal([]byte(text), &t)
	if err == nil {
		switch t.Role {
		case "server":
			err = runServer(kind, t)
		default:
			err = runClient(kind, t)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, t.Role, t.ID+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}
