package balance

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// responseBody ends a request when it was read to its end, broke or was closed.
type responseBody struct {
	io.ReadCloser
	request  *http.Request
	sending  *upload // nil if nothing can go wrong with it
	picked   Picked
	judged   bool
	owed     bool // the instance announced how much it would send
	switched bool // to another protocol: both sides write

	read        atomic.Bool // something was read
	closing     atomic.Bool // by the caller
	readsEnded  atomic.Bool
	writesEnded atomic.Bool // of a switched protocol
}

// newResponseBody wraps a response's body. That of a switched protocol stays
// writable, and can be closed for writing if it could before.
func newResponseBody(resp *http.Response, p Picked, judged bool, sending *upload) io.ReadCloser {
	body := resp.Body
	b := &responseBody{
		ReadCloser: body, request: resp.Request, sending: sending, picked: p, judged: judged, owed: resp.ContentLength > 0,
	}
	if body == http.NoBody {
		b.end(nil)
		return body
	}
	w, ok := body.(io.Writer)
	if !ok {
		return b
	}
	b.switched = true
	s := &switchedBody{responseBody: b, Writer: w}
	if c, ok := body.(writeCloser); ok {
		return &halfClosingBody{switchedBody: s, writes: c}
	}
	return s
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 && !b.read.Load() {
		b.read.Store(true)
	}
	if err == nil {
		return n, nil
	}
	b.readsEnded.Store(true)
	if !b.switched || b.writesEnded.Load() || !errors.Is(err, io.EOF) {
		b.end(err)
	}
	return n, err
}

func (b *responseBody) Close() error {
	b.closing.Store(true)
	err := b.ReadCloser.Close()
	b.end(nil)
	return err
}

func (b *responseBody) end(err error) {
	if !b.picked.end() {
		return
	}
	defer b.picked.upstream().release()
	switch {
	case b.judged:
	case err == nil, errors.Is(err, io.EOF), b.closing.Load():
		b.picked.judge(nil, false)
	case b.callers():
		// A stream may have no other end: a probe request that received data succeeded.
		if b.picked.probe && b.read.Load() {
			b.picked.judge(nil, false)
		}
	default:
		b.picked.judge(err, false)
	}
}

// callers reports whether the body broke because of the caller: it needs no
// more, its request's own body broke, or its deadline passed while the instance
// owed nothing.
func (b *responseBody) callers() bool {
	end := endOf(b.request)
	return end == cancelled || b.sending != nil && b.sending.broke.Load() ||
		end == late && (b.read.Load() || !b.owed || b.sending != nil && b.sending.stalls())
}

// switchedBody is that of a connection whose protocol was switched. It ends when
// both directions have ended, it broke or was closed.
type switchedBody struct {
	*responseBody
	io.Writer
}

type writeCloser interface{ CloseWrite() error }

// halfClosingBody is a switchedBody that can be closed for writing.
type halfClosingBody struct {
	*switchedBody
	writes writeCloser
}

// CloseWrite ends what is written. The answer can still be read.
func (b *halfClosingBody) CloseWrite() error {
	err := b.writes.CloseWrite()
	if err == nil {
		b.writesEnded.Store(true)
		if b.readsEnded.Load() {
			b.end(nil)
		}
	}
	return err
}
