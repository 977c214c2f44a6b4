package redisclient

import (
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/freeport"
	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/internal/waittest"
)

// freeAddr returns an address on which no server listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	freeport.StopListening(l.(*net.TCPListener))
	return l.Addr().String()
}

// startSilentServer starts a server that accepts connections and never answers.
func startSilentServer(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan []net.Conn)
	go acceptAll(l, accepted)
	t.Cleanup(func() {
		_ = l.Close()
		for _, conn := range <-accepted {
			_ = conn.Close()
		}
	})
	return l.Addr().String()
}

func acceptAll(l net.Listener, accepted chan<- []net.Conn) {
	var conns []net.Conn
	for {
		conn, err := l.Accept()
		if err != nil {
			accepted <- conns
			return
		}
		conns = append(conns, conn)
	}
}

// patient is for tests in which no call is to time out: a busy machine may delay
// both ends.
var patient = timeouts{dial: waittest.Limit, op: waittest.Limit}

// mustDial makes a client for the time of the test. It is patient unless cfg says
// otherwise.
func mustDial(t *testing.T, cfg Config) *Client {
	t.Helper()
	if cfg.timeouts == (timeouts{}) {
		cfg.timeouts = patient
	}
	c, err := Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// requireWithin fails the test when more time than d, plus the machine's stall,
// passed since then.
func requireWithin(t *testing.T, since time.Time, d time.Duration, what string) {
	t.Helper()
	if took, stalled := time.Since(since), stall.Since(t, since); took > d+stalled {
		t.Errorf("%s took %v, want at most %v and the stall of %v", what, took, d, stalled)
	}
}

// verifyNoLeaks is to be deferred: clients must have left no goroutine behind
// while the test's servers still run.
func verifyNoLeaks(t *testing.T, before goleak.Option) {
	t.Helper()
	const internal = "github.com/rollcall-sd/rollcall/internal/"
	goleak.VerifyNone(t, before,
		goleak.IgnoreAnyFunction(internal+"redisclient.acceptAll"),
		goleak.IgnoreAnyFunction(internal+"redistest.startProcess.func1"),
		goleak.IgnoreAnyFunction(internal+"stall.(*meter).sample"))
}
