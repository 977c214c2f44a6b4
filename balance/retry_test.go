package balance

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"
)

// never ejects an instance, so that a test keeps meeting its broken instances.
func never() Option { return WithEjection(Ejection{Failures: -1}) }

// echo answers with the body.
func echo(w http.ResponseWriter, req *http.Request) { io.Copy(w, req.Body) }

func TestAConnectionThatCouldNotBeMadeIsRetriedForAnyMethod(t *testing.T) {
	r := localRegistry(t)
	for _, id := range []string{"x", "y", "z"} {
		refuse(t, r, id)
	}
	serve(t, r, "a", echo)
	c, tr := client(t, r, never())
	for range 50 {
		for name, body := range map[string]io.Reader{
			"rewindable": strings.NewReader("hello"),
			"once":       once("hello"),
		} {
			if text, err := send(t, c, http.MethodPost, "http://api/", body); err != nil || text != "hello" {
				t.Fatalf("%s: %q, %v", name, text, err)
			}
		}
	}
	if n := inFlight(tr); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func TestWhenNoInstanceAcceptsConnectionsEachIsTriedOnce(t *testing.T) {
	r := localRegistry(t)
	for _, id := range []string{"x", "y", "z"} {
		refuse(t, r, id)
	}
	var dials counter
	base := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.add()
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	c, _ := client(t, r, WithTransport(base))
	body := &watchedBody{Reader: strings.NewReader("x")}
	_, err := send(t, c, http.MethodPost, "http://api/", body)
	if !isDial(err) || !strings.Contains(err.Error(), "3 instances tried") || dials.get() != 3 {
		t.Errorf("%d dials: %v", dials.get(), err)
	}
	if body.closed.get() != 1 {
		t.Errorf("the body was closed %d times", body.closed.get())
	}
}

func TestTriesToConnectAreBounded(t *testing.T) {
	r := localRegistry(t)
	for i := range 20 {
		refuse(t, r, strings.Repeat("x", i+1))
	}
	c, _ := client(t, r)
	_, err := send(t, c, http.MethodGet, "http://api/", nil)
	if err == nil || !strings.Contains(err.Error(), "10 instances tried") {
		t.Error(err)
	}
}

func TestWhatIsSafeIsRepeatedAfterBytesWereSent(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		body   func() io.Reader
		header []string
		safe   bool
	}{
		"GET":                  {method: http.MethodGet, safe: true},
		"HEAD":                 {method: http.MethodHead, safe: true},
		"OPTIONS":              {method: http.MethodOptions, safe: true},
		"DELETE":               {method: http.MethodDelete, safe: true},
		"PUT":                  {method: http.MethodPut, body: func() io.Reader { return strings.NewReader("hello") }, safe: true},
		"PUT without GetBody":  {method: http.MethodPut, body: func() io.Reader { return once("hello") }},
		"POST":                 {method: http.MethodPost, body: func() io.Reader { return strings.NewReader("hello") }},
		"POST without a body":  {method: http.MethodPost},
		"PATCH":                {method: http.MethodPatch},
		"POST with a key":      {method: http.MethodPost, body: func() io.Reader { return strings.NewReader("hello") }, header: []string{"Idempotency-Key", "7"}, safe: true},
		"POST with an old key": {method: http.MethodPost, header: []string{"X-Idempotency-Key", "7"}, safe: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := localRegistry(t)
			broken := hangUp(t, r, "broken")
			serve(t, r, "a", echo)
			cl, tr := client(t, r, never())
			failed := 0
			for range 30 {
				var body io.Reader
				if c.body != nil {
					body = c.body()
				}
				text, err := send(t, cl, c.method, "http://api/", body, c.header...)
				if err != nil {
					failed++
				} else if c.body != nil && text != "hello" {
					t.Fatalf("the body arrived as %q", text)
				}
			}
			if broken() == 0 {
				t.Fatal("the broken one was never called")
			}
			if want := broken(); c.safe && failed != 0 || !c.safe && failed != want {
				t.Errorf("%d of 30 failed, of %d that met the broken one", failed, want)
			}
			if n := inFlight(tr); n != 0 {
				t.Errorf("%d in flight", n)
			}
		})
	}
}

func TestTriesAfterBytesWereSentAreBounded(t *testing.T) {
	for _, tries := range []int{1, 2, DefaultTries} {
		r := localRegistry(t)
		var sent []func() int
		for i := range 6 {
			sent = append(sent, hangUp(t, r, strings.Repeat("x", i+1)))
		}
		c, _ := client(t, r, never(), WithTries(tries))
		if _, err := send(t, c, http.MethodGet, "http://api/", nil); err == nil {
			t.Fatal("no instance answers, and yet there is a response")
		}
		total := 0
		for _, n := range sent {
			total += n()
		}
		if total != tries {
			t.Errorf("sent %d times, want %d", total, tries)
		}
	}
}

// A server that closes connections as soon as they are idle: the client often
// learns of it only by the reset of its next request.
func TestConnectionsClosedWhileIdleFailNoRequest(t *testing.T) {
	r := localRegistry(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	register(t, r, at("a", l.Addr()))
	c, _ := client(t, r)
	for range 300 {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			if text, err := send(t, c, method, "http://api/", nil); err != nil || text != "a" {
				t.Fatalf("%s: %q, %v", method, text, err)
			}
		}
	}
}

func TestNothingIsRepeatedAfterTheContextEnded(t *testing.T) {
	r := localRegistry(t)
	var calls counter
	for _, id := range []string{"a", "b", "c"} {
		serve(t, r, id, func(w http.ResponseWriter, req *http.Request) {
			calls.add()
			<-req.Context().Done()
		})
	}
	c, tr := client(t, r)
	c.Timeout = 50 * time.Millisecond
	_, err := send(t, c, http.MethodGet, "http://api/", nil)
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || calls.get() != 1 {
		t.Errorf("%d calls: %v", calls.get(), err)
	}
	if n := inFlight(tr); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func TestARequestThatCannotBeSentBlamesNoInstance(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", nil)
	serve(t, r, "b", nil)
	c, tr := client(t, r)
	for range 20 {
		_, err := send(t, c, "BAD METHOD"[:3], "http://api/", nil, "X-Bad", "a\x00b")
		if err == nil || strings.Contains(err.Error(), "instances tried") {
			t.Fatal(err)
		}
	}
	for _, e := range endpoints(tr) {
		if e.failures.Load() != 0 || e.ejectedUntil.Load() != 0 || e.inflight.Load() != 0 {
			t.Errorf("%s: %d failures", e.id, e.failures.Load())
		}
	}
}

func TestTheCallersTraceIsKept(t *testing.T) {
	r := localRegistry(t)
	s := serve(t, r, "a", nil)
	c, _ := client(t, r)
	var address string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { address = info.Conn.RemoteAddr().String() },
	})
	getContext(ctx, t, c, "http://api/").Body.Close()
	if address != s.Listener.Addr().String() {
		t.Errorf("the trace saw %q", address)
	}
}
