package grpcresolver_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

// A call says why there is no instance from the first one on.
func TestTheFirstCallSaysWhyItFails(t *testing.T) {
	b := localRegistry(t)
	critical := registry.ServiceInfo{ID: "x", Name: "ill", Address: "127.0.0.1", Port: 1, Status: registry.StatusCritical}
	register(t, b, critical)
	for name, want := range map[string]string{"nothing": `no instances of "nothing"`, "ill": "1 critical"} {
		for range 300 {
			conn := client(t, b, grpcresolver.Target(name))
			_, err := who(t.Context(), conn)
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), want) {
				t.Fatalf("the first call failed with %v, want an Unavailable with %q", err, want)
			}
			conn.Close()
		}
	}
}

// slowRetries makes a client wait for a minute before it connects again.
var slowRetries = grpc.WithConnectParams(grpc.ConnectParams{
	Backoff: backoff.Config{BaseDelay: time.Minute, Multiplier: 1, MaxDelay: time.Minute}, MinConnectTimeout: time.Second,
})

// A server crashed and is back on its old port, with a new registration: it is
// called at once. gRPC would connect again only after its backoff.
func TestAServerThatIsBackOnItsPortIsCalledAtOnce(t *testing.T) {
	eachFailingFast(t, func(t *testing.T, policy grpcresolver.Option) {
		b := localRegistry(t)
		first := start(t, "first")
		register(t, b, first.service())
		conn := dial(t, "rollcall:///api", grpcresolver.With(b, policy), slowRetries)
		until(t, conn, "first")
		first.grpc.Stop()
		deadline := time.Now().Add(20 * time.Second)
		for failed := false; !failed; {
			_, err := who(t.Context(), conn)
			failed = err != nil && strings.Contains(err.Error(), "refused")
			if time.Now().After(deadline) {
				t.Fatalf("calls to the stopped server end with %v, want one that was refused", err)
			}
		}
		second := startAt(t, "second", first.addr)
		register(t, b, second.service())
		soon, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if id, err := who(soon, conn, grpc.WaitForReady(true)); err != nil || id != "second" {
			t.Errorf("after the new registration %q answers, error %v", id, err)
		}
	})
}

// An instance that registers again while it lives keeps its connection.
func TestALivingInstanceKeepsItsConnection(t *testing.T) {
	b := localRegistry(t)
	one := start(t, "one")
	register(t, b, one.service())
	conn := client(t, b, "rollcall:///api")
	until(t, conn, "one")
	for _, version := range []string{"2", "3", "4"} {
		register(t, b, one.service(func(s *registry.ServiceInfo) { s.Version, s.Weight = version, len(version)+1 }))
		other := one.service()
		other.ID = "another ID at the same address"
		register(t, b, other)
		until(t, conn, "one")
	}
	if made := len(one.connections); made != 1 {
		t.Errorf("%d connections were made", made)
	}
}

// Of two registrations of one address the newer counts, with its version.
func TestTheNewerRegistrationOfAnAddressCounts(t *testing.T) {
	b := localRegistry(t)
	one, two := start(t, "one"), start(t, "two")
	version := func(v string) func(*registry.ServiceInfo) { return func(s *registry.ServiceInfo) { s.Version = v } }
	register(t, b, one.service(version("1.0.0")), two.service(version("1.0.0")))
	newer := one.service(version("2.0.0"))
	newer.ID = "took over the port of one that crashed"
	register(t, b, newer)
	until(t, client(t, b, "rollcall:///api?version=^1"), "two")
	until(t, client(t, b, "rollcall:///api?version=^2"), "one")
	must(t, b.Deregister(t.Context(), "two"))
	must(t, b.SetStatus(t.Context(), newer.ID, registry.StatusCritical, ""))
	expectError(t, client(t, b, "rollcall:///api"), "no callable instances of \"api\": 1 critical, 0 draining")
}

// A client that was idle when the backend became unavailable goes on with the
// instances that it knew.
func TestAnIdleClientKeepsWhatItKnew(t *testing.T) {
	b := localRegistry(t)
	flaky := registrytest.NewFlaky(b)
	register(t, b, start(t, "one").service())
	conn := dial(t, "rollcall:///api", grpcresolver.With(flaky), grpc.WithIdleTimeout(50*time.Millisecond))
	until(t, conn, "one")
	waiting, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for state := conn.GetState(); state != connectivity.Idle; state = conn.GetState() {
		if !conn.WaitForStateChange(waiting, state) {
			t.Fatal("the client is not idle within 20 s")
		}
	}
	flaky.Disconnect(errors.New("no route"))
	until(t, conn, "one")
	expectError(t, dial(t, "rollcall:///other", grpcresolver.With(flaky)), "nothing is known")
}

func TestANameThatCannotBe(t *testing.T) {
	b := localRegistry(t)
	_, err := who(t.Context(), client(t, b, "rollcall:///a%00b"))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), `the watch of "a\x00b" has ended: invalid service: Name: has a control character`) {
		t.Errorf("the first call failed with %v", err)
	}
	expectError(t, client(t, b, grpcresolver.Target(strings.Repeat("n", registry.MaxNameBytes+1))), "more than the limit")
}

// Instances are called directly, also where a proxy is configured for all else.
func TestInstancesAreCalledWithoutAProxy(t *testing.T) {
	const child = "ROLLCALL_TEST_PROXY_CHILD"
	if os.Getenv(child) != "" {
		b := localRegistry(t)
		// The environment's proxy is never used for loopback addresses, but for names.
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: allAreLoopback(t)}
		service := start(t, "one").service(func(s *registry.ServiceInfo) { s.Address, s.Weight = "one.rollcall.test", 3 })
		register(t, b, service)
		until(t, client(t, b, "rollcall:///api"), "one")
		expectError(t, client(t, b, "rollcall:///api", grpcresolver.WithProxyFromEnvironment()), "refused")
		return
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, closed.Close())
	// A process reads these variables once.
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), child+"=1", "HTTPS_PROXY=http://"+closed.Addr().String(), "NO_PROXY=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("with HTTPS_PROXY set: %v\n%s", err, out)
	}
}

// allAreLoopback starts a DNS server for which every name is 127.0.0.1, and
// returns how to reach it.
func allAreLoopback(t *testing.T) func(ctx context.Context, network, address string) (net.Conn, error) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	ended := make(chan struct{})
	t.Cleanup(func() { server.Close(); <-ended })
	go func() {
		defer close(ended)
		buf := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
				}}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	}()
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}
}
