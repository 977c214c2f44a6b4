package faultnet

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is a plain client that tries once.
func client(t *testing.T, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr: addr, MaxRetries: -1, DialTimeout: waittest.Limit, DialerRetries: 1,
		ReadTimeout: waittest.Limit, ContextTimeoutEnabled: true, DisableIdentity: true, Protocol: 2,
	})
	t.Cleanup(func() { c.Close() })
	return c
}

func setUp(t *testing.T) (*redistest.Server, *Proxy) {
	t.Helper()
	t.Parallel()
	s := redistest.Start(t)
	return s, New(t, s.Addr())
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !check(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 5 s: " + what)
		}
	}
}

func TestHealthyProxyChangesNothing(t *testing.T) {
	_, p := setUp(t)
	c := client(t, p.Addr())
	big := strings.Repeat("x", 1<<20)
	if err := c.Set(t.Context(), "key", big, 0).Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), "key").Result(); err != nil || got != big {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
}

func TestDelay(t *testing.T) {
	_, p := setUp(t)
	c := client(t, p.Addr())
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	p.Delay(ToServer, 60*time.Millisecond)
	p.Delay(ToClient, 40*time.Millisecond)
	began := time.Now()
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Fatalf("took %s", took)
	}
}

// The caller gives up, its connection is closed, and still the bytes arrive.
func TestHeldRequestIsDeliveredLate(t *testing.T) {
	s, p := setUp(t)
	c := client(t, p.Addr())
	if err := c.Set(t.Context(), "key", "early", 0).Err(); err != nil {
		t.Fatal(err)
	}
	p.Hold()
	if err := c.Set(soon(t), "key", "late", 0).Err(); err == nil {
		t.Fatal("a held request was answered")
	}
	c.Close()
	direct := s.Client(t)
	if got := direct.Get(t.Context(), "key").Val(); got != "early" {
		t.Fatalf("before healing: %q", got)
	}
	p.Heal()
	eventually(t, "the late request arrives", func() bool { return direct.Get(t.Context(), "key").Val() == "late" })
	eventually(t, "the connection ends", func() bool { return p.Connections() == 0 })
}

func TestHeldConnectionIsAcceptedAndGoesOn(t *testing.T) {
	_, p := setUp(t)
	p.Hold()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "PING\r\n")
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Fatalf("read %d bytes", n)
	}
	p.Heal()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	reply := make([]byte, 7)
	if _, err := io.ReadFull(conn, reply); err != nil || string(reply) != "+PONG\r\n" {
		t.Fatalf("%q %v", reply, err)
	}
}

func TestDropLosesWholeRequests(t *testing.T) {
	s, p := setUp(t)
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p.Drop(ToServer)
	io.WriteString(conn, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\nlo")
	eventually(t, "the request begins", func() bool { return p.RoundTrips() == 1 })
	p.Heal()
	io.WriteString(conn, "st\r\n*1\r\n$4\r\nPING\r\n")
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	reply := make([]byte, 7)
	if _, err := io.ReadFull(conn, reply); err != nil || string(reply) != "+PONG\r\n" {
		t.Fatalf("%q %v", reply, err)
	}
	if n := s.Client(t).Exists(t.Context(), "k").Val(); n != 0 {
		t.Fatal("a dropped request was carried out")
	}
}

func TestCutAndCutSome(t *testing.T) {
	_, p := setUp(t)
	var conns []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	eventually(t, "all are connected", func() bool { return p.Connections() == 3 })
	if n := p.CutSome(1); n != 1 {
		t.Fatalf("cut %d", n)
	}
	eventually(t, "one is gone", func() bool { return p.Connections() == 2 })
	if n := p.Cut(); n != 2 {
		t.Fatalf("cut %d", n)
	}
	for _, conn := range conns {
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("a cut connection gave %v", err)
		}
	}
	if n := p.Accepted(); n != 3 {
		t.Fatalf("accepted %d", n)
	}
}

func TestRefuseAndAccept(t *testing.T) {
	_, p := setUp(t)
	open := client(t, p.Addr())
	if err := open.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		p.Refuse()
		if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dialing gave %v", err)
		}
		if err := open.Ping(t.Context()).Err(); err != nil {
			t.Fatalf("an open connection: %v", err)
		}
		if err := p.Accept(); err != nil {
			t.Fatal(err)
		}
		if err := client(t, p.Addr()).Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// A process that is being started holds a copy of every descriptor until its exec.
func TestRefuseThoughACopyOfTheListenerIsOpen(t *testing.T) {
	_, p := setUp(t)
	for range 3 {
		copied, err := p.listener.File()
		if err != nil {
			t.Fatal(err)
		}
		p.Refuse()
		if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialing gave %v", err)
		}
		if err := p.Accept(); err != nil {
			t.Errorf("listening again: %v", err)
		}
		copied.Close()
	}
	if err := client(t, p.Addr()).Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestCutReplyAfter(t *testing.T) {
	s, p := setUp(t)
	for n := range 4 {
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		p.CutReplyAfter(n)
		io.WriteString(conn, "INCR counter\r\n")
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		reply, err := io.ReadAll(conn)
		if err != nil || len(reply) != n {
			t.Fatalf("%q %v; want %d bytes", reply, err, n)
		}
	}
	if got := s.Client(t).Get(t.Context(), "counter").Val(); got != "4" {
		t.Fatalf("carried out %s times", got)
	}
	if err := client(t, p.Addr()).Ping(t.Context()).Err(); err != nil {
		t.Fatalf("it cut more than once: %v", err)
	}
}

func TestDeadServerResetsTheClient(t *testing.T) {
	s, p := setUp(t)
	s.Kill()
	if err := client(t, p.Addr()).Ping(t.Context()).Err(); err == nil {
		t.Fatal("a dead server answered")
	}
	s.Restart()
	if err := client(t, p.Addr()).Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestUnresponsiveAcceptsAndNeverAnswers(t *testing.T) {
	t.Parallel()
	if err := client(t, Unresponsive(t)).Ping(soon(t)).Err(); !errors.Is(err, context.DeadlineExceeded) {
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("gave %v", err)
		}
	}
}

func TestNetProxiesEveryAddress(t *testing.T) {
	t.Parallel()
	a, b := redistest.Start(t), redistest.Start(t)
	n := NewNet(t)
	for _, s := range []*redistest.Server{a, b} {
		c := redis.NewClient(&redis.Options{Addr: s.Addr(), Dialer: n.Dial, DisableIdentity: true})
		defer c.Close()
		if err := c.Set(t.Context(), s.Addr(), "here", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if got := s.Client(t).Get(t.Context(), s.Addr()).Val(); got != "here" {
			t.Fatalf("got %q", got)
		}
		if got := n.To(s.Addr()).Commands()["SET"]; got != 1 {
			t.Fatalf("counted %d", got)
		}
	}
}
