package balance

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/registry"
)

// at is an instance of "api" that is reached at a listener's address.
func at(id string, addr net.Addr) registry.ServiceInfo {
	host, port, _ := net.SplitHostPort(addr.String())
	n, _ := strconv.Atoi(port)
	return registry.ServiceInfo{ID: id, Name: "api", Address: host, Port: n}
}

// serve starts a server that says who it is, unless there is a handler, and
// registers it.
func serve(t testing.TB, r registry.Registry, id string, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	if handler == nil {
		handler = func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, id) }
	}
	stall.Measure(t)
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	register(t, r, at(id, s.Listener.Addr()))
	return s
}

// refuse registers an instance at an address without a listener.
func refuse(t testing.TB, r registry.Registry, id string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	register(t, r, at(id, l.Addr()))
	l.Close()
}

// hangUp registers an instance that takes connections and, as soon as there is
// something to read, resets them. It returns how often it did so far.
func hangUp(t testing.TB, r registry.Registry, id string) func() int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var count counter
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1))
			count.add()
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	register(t, r, at(id, l.Addr()))
	return count.get
}

func client(t testing.TB, w registry.Watcher, options ...Option) (*http.Client, *Transport) {
	t.Helper()
	tr, err := NewTransport(w, append([]Option{quietly()}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return &http.Client{Transport: tr}, tr
}

func send(t testing.TB, c *http.Client, method, url string, body io.Reader, header ...string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func get(t testing.TB, c *http.Client, url string) string {
	t.Helper()
	text, err := send(t, c, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// getContext sends a GET request and returns the response, whose body is the caller's to
// close.
func getContext(ctx context.Context, t testing.TB, c *http.Client, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// once is a body that cannot be had again.
func once(text string) io.Reader { return io.NopCloser(strings.NewReader(text)) }

// endpoints returns the endpoints of the service "api".
func endpoints(tr *Transport) []endpoint { return tr.services.Get("api").current.Load().near.endpoints }

// inFlight is the number of requests in flight to the service "api".
func inFlight(tr *Transport) (n int64) {
	for _, e := range endpoints(tr) {
		n += e.inflight.Load()
	}
	return n
}

// pool trusts a test server's certificate, if it has one.
func pool(s *httptest.Server) *x509.CertPool {
	if c := s.Client().Transport.(*http.Transport).TLSClientConfig; c != nil {
		return c.RootCAs
	}
	return nil
}
