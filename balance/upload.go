package balance

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync/atomic"
)

// upload is one try's request body. It takes note of what goes wrong with the
// body itself, of which the instance knows nothing.
type upload struct {
	io.ReadCloser
	length  int64 // that the request announces; 0 or less: none
	read    atomic.Int64
	reading atomic.Bool // a Read is under way
	stalled atomic.Bool // and was when the body was closed
	closed  atomic.Bool
	broke   atomic.Bool // it failed, or is not of the length announced
}

func (u *upload) Read(p []byte) (int, error) {
	u.reading.Store(true)
	n, err := u.ReadCloser.Read(p)
	u.reading.Store(false)
	if u.closed.Load() {
		return n, err // a try that failed closes its body, and that may be all that is wrong
	}
	read := u.read.Add(int64(n))
	ended := errors.Is(err, io.EOF)
	if err != nil && !ended || u.length > 0 && (read > u.length || ended && read < u.length) {
		u.broke.Store(true)
	}
	return n, err
}

func (u *upload) Close() error {
	if u.reading.Load() {
		u.stalled.Store(true)
	}
	u.closed.Store(true)
	return u.ReadCloser.Close()
}

func (u *upload) stalls() bool {
	return u.stalled.Load() || !u.closed.Load() && u.reading.Load()
}

var (
	nopCloser         = reflect.TypeOf(io.NopCloser(nil))
	nopCloserWriterTo = reflect.TypeOf(io.NopCloser(struct {
		io.Reader
		io.WriterTo
	}{}))
)

// inMemory reports whether a body is one of those that http.NewRequest makes of
// bytes and strings, and of the length announced: nothing can go wrong with it.
// net/http sends such a body in one packet with the header, if it sees it.
func inMemory(body io.Reader, length int64) bool {
	if t := reflect.TypeOf(body); t == nopCloser || t == nopCloserWriterTo {
		body, _ = reflect.ValueOf(body).Field(0).Interface().(io.Reader)
	}
	switch b := body.(type) {
	case *bytes.Reader:
		return int64(b.Len()) == length
	case *bytes.Buffer:
		return int64(b.Len()) == length
	case *strings.Reader:
		return int64(b.Len()) == length
	}
	return false
}
