package balance

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// requestBody hands a request's body to one try after the other.
type requestBody struct {
	request *http.Request
	tries   int
	held    *heldBody // of the last try, if it cannot be had again
	sending *upload   // of the last try, unless nothing can go wrong with it
}

func (b *requestBody) none() bool { return b.request.Body == nil || b.request.Body == http.NoBody }

// next returns the body for the next try, which closes it.
func (b *requestBody) next() (io.ReadCloser, error) {
	b.tries++
	body, err := b.source()
	if err != nil || b.none() {
		return body, err
	}
	return b.watch(body), nil
}

// again returns what net/http calls for the body when it repeats a try by itself.
func (b *requestBody) again() func() (io.ReadCloser, error) {
	getBody := b.request.GetBody
	if getBody == nil {
		return nil
	}
	return func() (io.ReadCloser, error) {
		body, err := getBody()
		if err != nil || body == http.NoBody {
			return body, err
		}
		return b.watch(body), nil
	}
}

func (b *requestBody) watch(body io.ReadCloser) io.ReadCloser {
	if inMemory(body, b.request.ContentLength) {
		b.sending = nil
		return body
	}
	b.sending = &upload{ReadCloser: body, length: b.request.ContentLength}
	return b.sending
}

func (b *requestBody) source() (io.ReadCloser, error) {
	switch {
	case b.none():
		return b.request.Body, nil
	case b.request.GetBody == nil:
		if b.held != nil {
			b.held.withdraw()
		}
		b.held = &heldBody{body: b.request.Body}
		return b.held, nil
	case b.tries == 1:
		return b.request.Body, nil
	default:
		return b.request.GetBody()
	}
}

// broke reports whether the last try's body was not what the request says.
func (b *requestBody) broke() bool { return b.sending != nil && b.sending.broke.Load() }

// stalls reports whether the last try waits, or waited, for its body's source.
func (b *requestBody) stalls() bool { return b.sending != nil && b.sending.stalls() }

// rewinds reports whether there is a body for one more try. One that cannot be
// had again will do if nothing was sent and no try read it.
func (b *requestBody) rewinds(sent bool) bool {
	return b.held == nil || !sent && !b.held.touched.Load()
}

// settle leaves the body to the try that succeeded.
func (b *requestBody) settle() {
	if b.held != nil {
		b.held.settle()
	}
}

// giveUp ends the body after the last try failed.
func (b *requestBody) giveUp() {
	switch {
	case b.held != nil:
		b.held.withdraw()
		b.held.settle()
	case b.tries == 0:
		closeBody(b.request)
	}
}

// heldBody is a body that cannot be had again: as long as it was not read, it
// outlives its Close, for another try.
type heldBody struct {
	body    io.ReadCloser
	touched atomic.Bool

	mu      sync.Mutex
	closed  bool // by the try that has it
	settled bool // no other try will want it
	ended   bool // and so its Close was passed on
}

func (h *heldBody) Read(p []byte) (int, error) {
	h.mu.Lock()
	closed := h.closed
	h.touched.Store(h.touched.Load() || !closed)
	h.mu.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return h.body.Read(p)
}

func (h *heldBody) Close() error { return h.set(&h.closed) }

// withdraw takes the body from the try that has it.
func (h *heldBody) withdraw() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
}

func (h *heldBody) settle() { _ = h.set(&h.settled) }

func (h *heldBody) set(flag *bool) error {
	h.mu.Lock()
	*flag = true
	end := h.closed && h.settled && !h.ended
	h.ended = h.ended || end
	h.mu.Unlock()
	if end {
		return h.body.Close()
	}
	return nil
}
