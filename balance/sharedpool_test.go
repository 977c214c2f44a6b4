package balance

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// withOwnHTTP2 makes of a transport what http2.ConfigureTransports of
// golang.org/x/net makes of it: one with an HTTP/2 implementation of its own,
// whose connections all clones share. net/http's own is the same code.
func withOwnHTTP2(base *http.Transport, settings *http.HTTP2Config) *http.Transport {
	donor := &http.Transport{ForceAttemptHTTP2: true, HTTP2: settings, Protocols: new(http.Protocols)}
	donor.Protocols.SetHTTP2(true)
	donor.Protocols.SetUnencryptedHTTP2(true)
	donor.CloseIdleConnections() // only then it has its protocols
	base.TLSNextProto = donor.TLSNextProto
	base.TLSClientConfig.NextProtos = []string{"h2", "http/1.1"}
	return base
}

// http2Server is an instance that says its ID and how many connections it has.
type http2Server struct {
	*httptest.Server
	mu    sync.Mutex
	conns map[net.Conn]bool
	idle  chan struct{} // one each time it has no connection left
}

func serveHTTP2(t testing.TB, r *registry.LocalRegistry, id string, plain bool) *http2Server {
	t.Helper()
	s := &http2Server{conns: map[net.Conn]bool{}, idle: make(chan struct{}, 100)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.ProtoMajor != 2 {
			t.Errorf("a request of %s", req.Proto)
		}
		if req.URL.Path == "/stream" {
			io.WriteString(w, "begun\n")
			w.(http.Flusher).Flush()
			io.Copy(io.Discard, req.Body) // until the caller ends its side
		}
		io.WriteString(w, id+" "+req.Host)
	}))
	s.Config.ErrorLog = quietLog()
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch state {
		case http.StateNew:
			s.conns[c] = true
		case http.StateClosed:
			if delete(s.conns, c); len(s.conns) == 0 {
				s.idle <- struct{}{}
			}
		}
	}
	s.EnableHTTP2 = true
	if plain {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	} else {
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	register(t, r, at(id, s.Listener.Addr()))
	return s
}

func TestInstancesShareNoConnectionsOfAnHTTP2BroughtAlong(t *testing.T) {
	for name, c := range map[string]struct {
		url     string
		prepare func(*http.Transport) *http.Transport
	}{
		"net/http's":       {"https://example.com/", func(base *http.Transport) *http.Transport { base.ForceAttemptHTTP2 = true; return base }},
		"its own":          {"https://example.com/", func(base *http.Transport) *http.Transport { return withOwnHTTP2(base, nil) }},
		"a clone's":        {"https://example.com/", func(base *http.Transport) *http.Transport { return withOwnHTTP2(base, nil).Clone() }},
		"own, without TLS": {"http://example.com/", func(base *http.Transport) *http.Transport { return plainly(withOwnHTTP2(base, nil)) }},
		"without TLS":      {"http://example.com/", plainly},
	} {
		t.Run(name, func(t *testing.T) {
			r := localRegistry(t)
			plain := c.url[:5] == "http:"
			a, b := serveHTTP2(t, r, "a", plain), serveHTTP2(t, r, "b", plain)
			base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(a.Server)}}
			cl, tr := client(t, r, WithTransport(c.prepare(base)), WithService("api"))
			count := map[string]int{}
			for range 100 {
				count[get(t, cl, c.url)]++
			}
			if count["a example.com"] < 20 || count["b example.com"] < 20 {
				t.Errorf("100 requests to two instances went to %v", count)
			}
			changed(t, tr, func() {
				if err := r.Drain(t.Context(), "a"); err != nil {
					t.Error(err)
				}
			})
			for range 50 {
				if got := get(t, cl, c.url); got != "b example.com" {
					t.Fatalf("after a drained: %q", got)
				}
			}
			arrives(t, a.idle, "the connections to a to be closed")
			changed(t, tr, func() {
				if err := r.Undrain(t.Context(), "a"); err != nil {
					t.Error(err)
				}
			})
			changed(t, tr, func() { deregister(t, r, "b") })
			b.Close()
			if got := get(t, cl, c.url); got != "a example.com" {
				t.Errorf("after a came back: %q", got)
			}
			tr.Close()
			arrives(t, a.idle, "the connections to be closed by Close")
		})
	}
}

func plainly(base *http.Transport) *http.Transport {
	base.Protocols = new(http.Protocols)
	base.Protocols.SetUnencryptedHTTP2(true)
	return base
}

// A stream outlives its instance's leave, and its connection goes with its end.
func TestTheConnectionOfAStreamGoesWithIt(t *testing.T) {
	for name, prepare := range map[string]func(*http.Transport) *http.Transport{
		"net/http's": func(base *http.Transport) *http.Transport { base.ForceAttemptHTTP2 = true; return base },
		"its own":    func(base *http.Transport) *http.Transport { return withOwnHTTP2(base, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			r := localRegistry(t)
			a := serveHTTP2(t, r, "a", false)
			base := prepare(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(a.Server)}})
			c, tr := client(t, r, WithTransport(base), WithService("api"))
			body, source := io.Pipe()
			resp, err := c.Post("https://example.com/stream", "text/plain", body)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			changed(t, tr, func() { deregister(t, r, "a") })
			source.Close()
			if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "begun\na example.com" {
				t.Errorf("%q, %v", text, err)
			}
			arrives(t, a.idle, "the connection to be closed")
		})
	}
}

// An instance that goes mute is found out by the pings that were configured.
func TestPingsOfAnHTTP2BroughtAlongStayInForce(t *testing.T) {
	r := localRegistry(t)
	a := serveHTTP2(t, r, "a", false)
	pinged := make(chan struct{})
	base := withOwnHTTP2(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(a.Server)}}, &http.HTTP2Config{
		SendPingTimeout: 50 * time.Millisecond, PingTimeout: time.Nanosecond,
		CountError: func(string) {},
	})
	c, _ := client(t, r, WithTransport(base), WithService("api"), WithTries(1))
	body, source := io.Pipe()
	defer source.Close()
	resp, err := c.Post("https://example.com/stream", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	go func() {
		defer close(pinged)
		if text, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("a stream whose ping no answer came in time for ended with %q", text)
		}
	}()
	arrives(t, pinged, "a ping without an answer to end the stream")
}
