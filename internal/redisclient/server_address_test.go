package redisclient

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/waittest"
)

// CheckAddress closes the connections to addresses that the name no longer has.
func TestCheckAddressFollowsTheName(t *testing.T) {
	servers := make(map[string]net.Listener)
	for _, ip := range []string{"127.0.0.2", "127.0.0.3"} {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			t.Fatalf("listen on %s: %v", ip, err)
		}
		defer l.Close()
		servers[ip] = l
	}
	client, err := Dial(Config{Addr: "redis.example:6379", timeouts: patient})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var answer []netip.Addr
	var failure error
	client.dialer.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "redis.example" {
			t.Errorf("looked up %q", host)
		}
		return answer, failure
	}
	for _, l := range servers {
		if _, err := client.dialer.connect(t.Context(), l.Addr().String(), toAny); err != nil {
			t.Fatal(err)
		}
	}
	open := func() (ips []string) {
		for c := range client.dialer.conns {
			ips = append(ips, c.RemoteAddr().(*net.TCPAddr).IP.String())
		}
		return ips
	}
	for _, step := range []struct {
		what    string
		answer  []string
		failure error
		left    int
	}{
		{"both addresses", []string{"::ffff:127.0.0.2", "127.0.0.3"}, nil, 2},
		{"a failed lookup", nil, errors.New("no such host"), 2},
		{"no address", nil, nil, 2},
		{"the name moved", []string{"127.0.0.3"}, nil, 1},
	} {
		answer, failure = nil, step.failure
		for _, ip := range step.answer {
			answer = append(answer, netip.MustParseAddr(ip))
		}
		client.CheckAddress(t.Context())
		if got := open(); len(got) != step.left {
			t.Errorf("%s: connections to %v are open, want %d", step.what, got, step.left)
		}
	}
	if got := open(); len(got) != 1 || got[0] != "127.0.0.3" {
		t.Errorf("connections to %v are left, want only 127.0.0.3", got)
	}
}

// Behind a proxy that lets several servers answer INFO, connections are not closed
// with each answer; a later move is noticed again.
func TestManyMovesInAMinuteAreNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s serverIdentity
		note := func(id string) bool { return s.noteServer("# Server\r\nrun_id:" + id + "\r\ntcp_port:1\r\n") }
		if note("a") {
			t.Error("the first answer is a move")
		}
		closed := 0
		for range 20 {
			for _, id := range []string{"b", "a"} {
				if note(id) {
					closed++
				}
			}
			time.Sleep(time.Second)
		}
		if closed != maxChangesPerMinute-1 {
			t.Errorf("of 40 different answers within 20 s %d counted as moves, want %d", closed, maxChangesPerMinute-1)
		}
		time.Sleep(2 * time.Minute)
		if !note("c") {
			t.Error("a move after two minutes is none")
		}
		if note("c") || s.noteServer("nothing") {
			t.Error("the same server, or an answer without a run ID, is a move")
		}
	})
}

// A request that waits on a connection which the client closes itself fails with
// the reason: this is what users see in Stale and in errors.
func TestRequestsOnClosedConnectionsFailWithTheReason(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const reply = "READONLY You can't write against a read only replica."
	for name, tt := range map[string]struct {
		close func(*Client)
		word  string
		again bool // worth another try at once: a new connection reaches the right server
	}{
		"a refused write":   {func(c *Client) { c.Redial(errors.New(reply)) }, "READONLY", false},
		"a name that moves": {func(c *Client) { c.CheckAddress(t.Context()) }, "redis.example", true},
		"another primary":   {func(c *Client) { c.dialer.setPrimary("10.0.0.9:6379", 0) }, "10.0.0.9:6379", true},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := Dial(Config{Addr: "redis.example:6379", timeouts: patient})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			client.dialer.lookup = func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("10.0.0.9")}, nil
			}
			conn, err := client.dialer.connect(t.Context(), listener.Addr().String(), toAny)
			if err != nil {
				t.Fatal(err)
			}
			conn.(*trackedConn).role = toPrimary
			failed := make(chan error, 1)
			go func() {
				_, err := conn.Read(make([]byte, 1))
				failed <- err
			}()
			tt.close(client)
			check := func(what string, err error) {
				t.Helper()
				if err == nil || !strings.Contains(err.Error(), tt.word) || errors.Is(err, net.ErrClosed) {
					t.Errorf("%s failed with %v, want the reason, with %q", what, err, tt.word)
				}
				if again := ConnectionLost(err); again != tt.again {
					t.Errorf("%s: worth another try at once: %t, want %t", what, again, tt.again)
				}
			}
			// A request sets the deadlines before it writes and before it reads.
			_, err = conn.Write([]byte("x"))
			check("the write", err)
			check("the deadline", conn.SetDeadline(time.Now().Add(time.Minute)))
			check("the read's deadline", conn.SetReadDeadline(time.Now().Add(time.Minute)))
			check("the write's deadline", conn.SetWriteDeadline(time.Now().Add(time.Minute)))
			select {
			case err := <-failed:
				check("the read", err)
			case <-time.After(waittest.Limit):
				t.Fatalf("the request on the closed connection did not end within %s", waittest.Limit)
			}
		})
	}
}
