package balance

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// watchedBody counts its Closes.
type watchedBody struct {
	io.Reader
	closed counter
}

func (b *watchedBody) Close() error { b.closed.add(); return nil }

func TestARequestIsInFlightUntilItsBodyEnds(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/broken":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "x")
		default:
			io.WriteString(w, "hello")
		}
	})
	c, tr := client(t, r)
	for name, end := range map[string]func(io.ReadCloser){
		"/closed": func(b io.ReadCloser) { b.Close() },
		"/read":   func(b io.ReadCloser) { io.ReadAll(b) },
		"/both":   func(b io.ReadCloser) { io.ReadAll(b); b.Close(); b.Close() },
		"/broken": func(b io.ReadCloser) {
			if _, err := io.ReadAll(b); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error(err)
			}
		},
	} {
		resp, err := c.Get("http://api" + name)
		if err != nil {
			t.Fatal(err)
		}
		if n := inFlight(tr); n != 1 {
			t.Errorf("%s: %d in flight before its end", name, n)
		}
		end(resp.Body)
		if n := inFlight(tr); n != 0 {
			t.Errorf("%s: %d in flight after its end", name, n)
		}
		resp.Body.Close()
	}
	resp, err := c.Get("http://api/empty")
	if err != nil {
		t.Fatal(err)
	}
	if n := inFlight(tr); n != 0 {
		t.Errorf("no body: %d in flight", n)
	}
	resp.Body.Close()
}

func TestAnInstanceThatBreaksOffItsAnswersIsEjected(t *testing.T) {
	r := localRegistry(t)
	var bad counter
	serve(t, r, "bad", func(w http.ResponseWriter, req *http.Request) {
		bad.add()
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "x")
	})
	serve(t, r, "good", nil)
	c, _ := client(t, r, WithEjection(Ejection{First: 1e15, Most: 1e15}))
	for range 100 {
		_, _ = send(t, c, http.MethodGet, "http://api/", nil)
	}
	if bad.get() != 5 {
		t.Errorf("called %d times", bad.get())
	}
}

func TestACallerThatStopsReadingBlamesNoInstance(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", func(w http.ResponseWriter, req *http.Request) {
		w.(http.Flusher).Flush()
		<-req.Context().Done()
	})
	c, tr := client(t, r)
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		resp := getContext(ctx, t, c, "http://api/")
		cancel()
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		resp.Body.Close()
	}
	e := &endpoints(tr)[0]
	if e.failures.Load() != 0 || e.inflight.Load() != 0 {
		t.Errorf("%d failures, %d in flight", e.failures.Load(), e.inflight.Load())
	}
}

func TestASwitchedProtocolStaysWritable(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", func(w http.ResponseWriter, req *http.Request) {
		conn, rw, err := switchProtocol(w)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		line, _ := rw.ReadString('\n')
		io.WriteString(conn, line)
	})
	_, tr := client(t, r)
	rw := upgrade(t, tr, "http://api/")
	if _, err := io.WriteString(rw, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(rw).ReadString('\n'); line != "hello\n" {
		t.Errorf("%q, %v", line, err)
	}
	rw.Close()
	if n := inFlight(tr); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func TestAHeldBodyIsClosedOnce(t *testing.T) {
	body := func() (*watchedBody, *heldBody) {
		w := &watchedBody{Reader: strings.NewReader("x")}
		return w, &heldBody{body: w}
	}
	w, h := body()
	h.Close()
	if w.closed.get() != 0 {
		t.Error("closed although another try may want it")
	}
	if _, err := h.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) || h.touched.Load() {
		t.Errorf("read after Close: %v", err)
	}
	h.settle()
	h.Close()
	if w.closed.get() != 1 {
		t.Errorf("closed %d times", w.closed.get())
	}
	w, h = body()
	h.settle()
	h.Close()
	h.Close()
	if w.closed.get() != 1 {
		t.Errorf("closed %d times", w.closed.get())
	}
}
