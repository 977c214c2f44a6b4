package balance

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"
)

// switchProtocol answers with the switch to the protocol "tunnel".
func switchProtocol(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return nil, nil, err
	}
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n")
	return conn, rw, nil
}

// tunnel switches protocols, reads to the end and then says what it read.
func tunnel(w http.ResponseWriter, _ *http.Request) {
	conn, rw, err := switchProtocol(w)
	if err != nil {
		return
	}
	defer conn.Close()
	got, err := io.ReadAll(rw)
	fmt.Fprintf(conn, "got %q, %v", got, err)
}

func upgrade(t *testing.T, tr http.RoundTripper, url string) io.ReadWriteCloser {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "tunnel")
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatal("the body cannot be written to")
	}
	return rw
}

func TestASwitchedProtocolCanBeClosedForWriting(t *testing.T) {
	r := localRegistry(t)
	_, tr, url := secure(t, r, httptest.NewUnstartedServer(http.HandlerFunc(tunnel)), false)
	plain := localRegistry(t)
	serve(t, plain, "a", tunnel)
	_, plainTransport := client(t, plain)
	for scheme, c := range map[string]struct {
		tr  *Transport
		url string
	}{"http": {plainTransport, "http://api/"}, "https": {tr, url}} {
		t.Run(scheme, func(t *testing.T) {
			rw := upgrade(t, c.tr, c.url)
			defer rw.Close()
			io.WriteString(rw, "hello")
			if err := rw.(writeCloser).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if n := inFlight(c.tr); n != 1 {
				t.Errorf("%d in flight before the answer", n)
			}
			if got, err := io.ReadAll(rw); err != nil || string(got) != `got "hello", <nil>` {
				t.Errorf("%q, %v", got, err)
			}
			if n := inFlight(c.tr); n != 0 {
				t.Errorf("%d in flight after both directions have ended", n)
			}
		})
	}
}

// The other side may end first: the connection is in use until ours does.
func TestASwitchedProtocolIsInFlightUntilBothDirectionsEnd(t *testing.T) {
	r := localRegistry(t)
	received := make(chan string, 1)
	serve(t, r, "a", func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\nbye")
		conn.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(rw)
		received <- string(got)
	})
	_, tr := client(t, r)
	for name, end := range map[string]func(io.ReadWriteCloser){
		"CloseWrite": func(rw io.ReadWriteCloser) { rw.(writeCloser).CloseWrite() },
		"Close":      func(rw io.ReadWriteCloser) { rw.Close() },
	} {
		rw := upgrade(t, tr, "http://api/")
		for range 2 {
			if got, err := io.ReadAll(rw); err != nil || string(got) != "bye" && string(got) != "" {
				t.Errorf("%q, %v", got, err)
			}
		}
		if n := inFlight(tr); n != 1 {
			t.Errorf("%d in flight while we may write", n)
		}
		io.WriteString(rw, "more")
		end(rw)
		if n := inFlight(tr); n != 0 {
			t.Errorf("%s: %d in flight", name, n)
		}
		rw.Close()
		if got := <-received; got != "more" {
			t.Errorf("the instance received %q", got)
		}
	}
	if n := blamed(tr); n != 0 {
		t.Errorf("%d failures", n)
	}
}

func TestAReverseProxyPassesAHalfCloseOn(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", tunnel)
	_, tr := client(t, r)
	target := &url.URL{Scheme: "http", Host: "api"}
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }, Transport: tr, ErrorLog: quietLog(),
	})
	defer front.Close()
	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: front\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n")
	br := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	io.WriteString(conn, "hello")
	conn.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(br); err != nil || string(got) != `got "hello", <nil>` {
		t.Errorf("%q, %v", got, err)
	}
}

var _ writeCloser = (*tls.Conn)(nil)

// Trailers of both sides pass through, over HTTP/1 and HTTP/2.
func TestTrailersPassThrough(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		r := localRegistry(t)
		c, _, url := secure(t, r, httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			io.Copy(w, req.Body)
			w.Header().Set("X-Sum", req.Trailer.Get("X-Request-Sum"))
		})), http2)
		req, err := http.NewRequest(http.MethodPost, url, once("hello"))
		if err != nil {
			t.Fatal(err)
		}
		req.Trailer = http.Header{"X-Request-Sum": nil}
		req.Body = onEnd{req.Body, func() { req.Trailer.Set("X-Request-Sum", "7") }}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(text) != "hello" || resp.Trailer.Get("X-Sum") != "7" {
			t.Errorf("HTTP/2 %v: %q, trailer %v, %v", http2, text, resp.Trailer, err)
		}
	}
}

// onEnd calls a function when a body ends.
type onEnd struct {
	io.ReadCloser
	call func()
}

func (o onEnd) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	if err == io.EOF {
		o.call()
	}
	return n, err
}
