package daemon

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipeListener accepts one end of a pipe, and then waits until it closes.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// A body that never ends keeps no connection, also not that of a request that is refused
// or that reads no body.
func TestABodyThatNeverEnds(t *testing.T) {
	for _, request := range []string{
		"PUT /v1/agent/service/register", // without a token
		"GET /v1/catalog/services",
		"POST /v1/ready",
	} {
		for _, framing := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
			synctest.Test(t, func(t *testing.T) {
				d := &daemon{config: &checked{Config: Config{Logger: slog.New(slog.DiscardHandler)}}}
				d.access = &access{next: http.HandlerFunc(reached), write: tokenFileOf(t, "writer")}
				client, served := net.Pipe()
				l := &pipeListener{conns: make(chan net.Conn, 1), done: make(chan struct{})}
				l.conns <- served
				server := d.server()
				ended := make(chan error, 1)
				go func() { ended <- server.Serve(l) }()
				if _, err := io.WriteString(client, request+" HTTP/1.1\r\nHost: 127.0.0.1\r\n"+framing+"\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if err := client.SetReadDeadline(began.Add(idleTimeout - time.Second)); err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(client)
				if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 ") || time.Since(began) > bodyTimeout {
					t.Errorf("%s, %s: after %s: %v, %q", request, framing, time.Since(began), err, text)
				}
				_ = client.Close()
				_ = server.Close()
				<-ended
			})
		}
	}
}
