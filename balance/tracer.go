package balance

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// tracer learns how far a try got. net/http may ask for connections several
// times: it repeats by itself what it did not send, or may repeat, on a
// connection that was idle for too long. The last time counts. It is the try's
// context as well, so that the dialer finds it.
type tracer struct {
	context.Context
	upstream   *upstream
	hasBody    bool
	plainHTTP2 bool // connections without TLS carry HTTP/2

	asked     atomic.Bool
	dialing   atomic.Bool  // a connection is being made for it
	connected atomic.Int64 // when there was a connection; 0 if there is none
	wrote     atomic.Int64 // when the request had been written, or begun if it has no body; 0 if not yet
	reused    atomic.Bool  // the connection had been used before
	http2     atomic.Bool  // and carries HTTP/2
}

type tracerKey struct{}

func (t *tracer) Value(key any) any {
	if key == (tracerKey{}) {
		return t
	}
	return t.Context.Value(key)
}

// hooks returns what is to be called as the try goes on.
func (t *tracer) hooks() *httptrace.ClientTrace {
	hooks := &httptrace.ClientTrace{GetConn: t.asking, GotConn: t.got}
	if t.hasBody {
		hooks.WroteRequest = t.written
	}
	return hooks
}

func (t *tracer) asking(string) {
	t.asked.Store(true)
	t.connected.Store(0)
	t.wrote.Store(0)
}

func (t *tracer) got(info httptrace.GotConnInfo) {
	t.reused.Store(info.Reused)
	if c, ok := info.Conn.(*tls.Conn); ok {
		t.http2.Store(c.ConnectionState().NegotiatedProtocol == overTLS)
	} else {
		t.http2.Store(t.plainHTTP2)
	}
	now := t.upstream.owner.now()
	if !t.hasBody {
		t.wrote.Store(now)
	}
	t.connected.Store(now)
}

func (t *tracer) written(info httptrace.WroteRequestInfo) {
	if info.Err == nil {
		t.wrote.Store(t.upstream.owner.now())
	}
}

// usesPlainHTTP2 reports whether a transport speaks HTTP/2 to http URLs.
func usesPlainHTTP2(t *http.Transport) bool {
	p := t.Protocols
	return p != nil && p.UnencryptedHTTP2() && !p.HTTP1()
}
