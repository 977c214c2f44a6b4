package balance

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// brokenSource fails after some bytes.
type brokenSource struct{ read bool }

func (b *brokenSource) Read(p []byte) (int, error) {
	if !b.read {
		b.read = true
		return copy(p, "some bytes"), nil
	}
	return 0, errBroken
}

// silent is a source that gives nothing until it is closed, or for a second: over
// HTTP/1, net/http waits for a Read before it returns.
type silent struct{ closed chan struct{} }

func (s *silent) Read([]byte) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	select {
	case <-s.closed:
	case <-ctx.Done():
	}
	return 0, errBroken
}

func (s *silent) Close() error {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

// blamed returns the failures and ejections of the instances of "api".
func blamed(tr *Transport) (n int64) {
	for _, e := range endpoints(tr) {
		n += e.failures.Load() + e.ejections.Load()
	}
	return n
}

// wanderer handles requests by their path.
func wanderer(w http.ResponseWriter, req *http.Request) {
	switch req.URL.Path {
	case "/upload":
		io.Copy(io.Discard, req.Body)
	case "/early": // answers before it has read, and goes on when the caller breaks off
		http.NewResponseController(w).EnableFullDuplex()
		io.WriteString(w, "early")
		w.(http.Flusher).Flush()
		io.Copy(io.Discard, req.Body)
		<-req.Context().Done()
	case "/stream": // delivers for ever
		for req.Context().Err() == nil {
			io.WriteString(w, "event\n")
			w.(http.Flusher).Flush()
			select {
			case <-req.Context().Done():
			case <-time.After(time.Millisecond):
			}
		}
	case "/quiet": // has nothing to deliver
		w.(http.Flusher).Flush()
		<-req.Context().Done()
	case "/promised": // announces what it does not deliver
		w.Header().Set("Content-Length", "100")
		w.(http.Flusher).Flush()
		<-req.Context().Done()
		panic(http.ErrAbortHandler)
	case "/hang":
		<-req.Context().Done()
		panic(http.ErrAbortHandler) // an answer now could still arrive
	}
}

// blameCase is a request that fails, and whether that is the instance's fault.
type blameCase struct {
	request func(url string) *http.Request
	do      func(*http.Client, *http.Request) error // nil: to the answer's end
	blame   bool
}

var blameCases = map[string]blameCase{
	"its body breaks":                     {request: posts("/upload", func() io.Reader { return &brokenSource{} }, 0)},
	"its body breaks before the end":      {request: posts("/upload", func() io.Reader { return &brokenSource{} }, 100)},
	"its body is too short":               {request: posts("/upload", func() io.Reader { return once("short") }, 100)},
	"its body is too long":                {request: posts("/upload", func() io.Reader { return once(strings.Repeat("long", 100)) }, 10)},
	"its body in memory is too short":     {request: posts("/upload", func() io.Reader { return strings.NewReader("short") }, 100)},
	"its body breaks after the answer":    {request: posts("/early", func() io.Reader { return &brokenSource{} }, 100)},
	"its body is announced and not there": {request: posts("/upload", func() io.Reader { return nil }, 100)},
	"its Host header cannot be": {request: func(url string) *http.Request {
		req := posts("/upload", func() io.Reader { return nil }, 0)(url)
		req.Host = "a\nb"
		return req
	}},
	"its trailer cannot be": {request: func(url string) *http.Request {
		req := posts("/upload", func() io.Reader { return once("x") }, -1)(url)
		req.Trailer = http.Header{"Content-Length": nil}
		return req
	}},
	"its source is silent until its deadline": {
		request: posts("/upload", func() io.Reader { return &silent{make(chan struct{})} }, -1),
		do:      ended,
	},
	"its deadline ends a stream": {
		request: gets("/stream"),
		do:      endedAfterTheHeader,
	},
	"its deadline ends a quiet stream": {
		request: gets("/quiet"),
		do:      endedAfterTheHeader,
	},
	"its client's timeout ends a stream": {
		request: gets("/stream"),
		do: func(c *http.Client, req *http.Request) error {
			return drain((&http.Client{Transport: c.Transport, Timeout: time.Second}).Do(req))
		},
	},
	"it cancels by the old channel": {
		request: gets("/hang"),
		do: func(c *http.Client, req *http.Request) error {
			gone := make(chan struct{})
			close(gone)
			req.Cancel = gone //lint:ignore SA1019 an http.Client uses it
			return drain(c.Do(req))
		},
	},
	"it closes while it reads": {
		request: gets("/quiet"),
		do: func(c *http.Client, req *http.Request) error {
			resp, err := c.Do(req)
			if err != nil {
				return err
			}
			read := make(chan error)
			go func() {
				_, err := io.Copy(io.Discard, resp.Body)
				read <- err
			}()
			resp.Body.Close()
			return <-read
		},
	},
	"the instance hangs until the deadline": {
		request: gets("/hang"), blame: true,
		do: ended,
	},
	"the instance hangs until the client's timeout": {
		request: gets("/hang"), blame: true,
		do: func(c *http.Client, req *http.Request) error {
			return drain((&http.Client{Transport: c.Transport, Timeout: time.Second}).Do(req))
		},
	},
	"the instance owes its body at the deadline": {
		request: gets("/promised"), blame: true,
		do: endedAfterTheHeader,
	},
}

func TestOnlyWhatTheInstanceDidSpeaksAgainstIt(t *testing.T) {
	for name, c := range blameCases {
		for _, http2 := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " HTTP/2"}[http2], func(t *testing.T) {
				r := localRegistry(t)
				s := httptest.NewUnstartedServer(http.HandlerFunc(wanderer))
				s.Config.ErrorLog = quietLog()
				client, tr, url := secure(t, r, s, http2)
				do := c.do
				if do == nil {
					do = func(c *http.Client, req *http.Request) error { return drain(c.Do(req)) }
				}
				err := do(client, c.request(strings.TrimSuffix(url, "/")))
				if n := blamed(tr); c.blame != (n != 0) {
					t.Errorf("%d failures after %v", n, err)
				}
				if n := inFlight(tr); n != 0 {
					t.Errorf("%d in flight", n)
				}
			})
		}
	}
}

// ended sends a request whose deadline passes soon.
func ended(c *http.Client, req *http.Request) error {
	ctx, cancel := context.WithTimeout(req.Context(), 300*time.Millisecond)
	defer cancel()
	return drain(c.Do(req.WithContext(ctx)))
}

// onDemand is a context whose deadline passes when a test says so.
type onDemand struct {
	context.Context
	passed chan struct{}
}

func (o onDemand) Done() <-chan struct{} { return o.passed }

func (o onDemand) Err() error {
	select {
	case <-o.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// endedAfterTheHeader sends a request whose deadline passes once the answer has
// begun and, if it is a stream, has delivered.
func endedAfterTheHeader(c *http.Client, req *http.Request) error {
	ctx := onDemand{req.Context(), make(chan struct{})}
	resp, err := c.Do(req.WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if req.URL.Path == "/stream" {
		if _, err := io.ReadFull(resp.Body, make([]byte, 6)); err != nil {
			return err
		}
	}
	close(ctx.passed)
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func posts(path string, body func() io.Reader, length int64) func(string) *http.Request {
	return func(url string) *http.Request {
		req, err := http.NewRequest(http.MethodPost, url+path, body())
		if err != nil {
			panic(err)
		}
		if length != 0 {
			req.ContentLength = length
		}
		return req
	}
}

func gets(path string) func(string) *http.Request {
	return func(url string) *http.Request {
		req, err := http.NewRequest(http.MethodGet, url+path, nil)
		if err != nil {
			panic(err)
		}
		return req
	}
}

// drain reads a response to its end.
func drain(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// An upgrade that HTTP/2 has no form for is the caller's, and no instance's, fault.
func TestAnUpgradeOverHTTP2SpeaksAgainstNoInstance(t *testing.T) {
	r := localRegistry(t)
	c, tr, url := secure(t, r, httptest.NewUnstartedServer(http.HandlerFunc(wanderer)), true)
	if text, err := send(t, c, http.MethodGet, url, nil, "Connection", "Upgrade", "Upgrade", "tunnel"); err == nil {
		t.Errorf("answered %q", text)
	}
	if n := blamed(tr); n != 0 {
		t.Errorf("%d failures", n)
	}
}

func TestWhatThisMachineLacksSpeaksAgainstNoInstance(t *testing.T) {
	for _, lack := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS} {
		failure := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", lack)}
		r := localRegistry(t)
		serve(t, r, "a", nil)
		c, tr := client(t, r, WithTransport(&http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, failure },
		}))
		if _, err := send(t, c, http.MethodGet, "http://api/", nil); !errors.Is(err, lack) {
			t.Error(err)
		}
		if n := blamed(tr); n != 0 {
			t.Errorf("%v: %d failures", lack, n)
		}
		b := balancer(t, r)
		p := pick(t, b)
		p.Done(failure)
		if n := p.upstream().failures.Load() + p.upstream().ejections.Load(); n != 0 {
			t.Errorf("%v passed to Done: %d failures", lack, n)
		}
	}
}

// The resolver needs descriptors and ports as well. Its error holds only their text.
func TestAResolverThatLacksDescriptorsSpeaksAgainstNoInstance(t *testing.T) {
	for _, lack := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
		failure := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{
			Err: "dial udp 127.0.0.53:53: socket: " + lack.Error(), Name: "a.example", Server: "127.0.0.53:53", IsTemporary: true,
		}}
		b := balancer(t, localRegistry(t, api("a")))
		p := pick(t, b)
		p.Done(failure)
		if n := p.upstream().failures.Load() + p.upstream().ejections.Load(); n != 0 {
			t.Errorf("%v while a name was looked up: %d failures", lack, n)
		}
	}
	b := balancer(t, localRegistry(t, api("a")))
	p := pick(t, b)
	p.Done(&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "a.example", IsNotFound: true}})
	if p.upstream().failures.Load() != 1 {
		t.Error("a host that does not exist does not count as a failure of the instance")
	}
}

// A request that waits for a connection of the base's limit was never sent.
func TestWaitingForTheOwnLimitOfConnectionsSpeaksAgainstNoInstance(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", wanderer)
	c, tr := client(t, r, WithTransport(&http.Transport{MaxConnsPerHost: 1}))
	held, err := c.Get("http://api/quiet")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := drain(c.Do(gets("/upload")("http://api").WithContext(ctx))); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if n := blamed(tr); n != 0 {
		t.Errorf("%d failures", n)
	}
}

// An instance whose probe request is a stream is readmitted when the caller ends it.
func TestAStreamCanBeTheProbeRequest(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", wanderer)
	serve(t, r, "b", wanderer)
	c, tr := client(t, r)
	if err := drain(c.Do(gets("/upload")("http://api"))); err != nil {
		t.Fatal(err)
	}
	n := endpoints(tr)[0].upstream
	n.failed(errBroken, false, true)
	n.ejectedUntil.Store(earliest) // its time is over
	for range 20 {
		if err := endedAfterTheHeader(c, gets("/stream")("http://api")); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	if n.ejectedUntil.Load() != 0 {
		t.Error("it is still ejected")
	}
}

func TestASlowUploadIsNotTheInstancesLatency(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", wanderer)
	c, tr := client(t, r)
	if err := drain(c.Do(gets("/upload")("http://api"))); err != nil {
		t.Fatal(err)
	}
	n := endpoints(tr)[0].upstream
	n.latency.Store(int64(time.Second))
	n.sampled.Store(n.owner.now())
	body, source := io.Pipe()
	go func() {
		for range 10 {
			io.WriteString(source, "x")
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			<-ctx.Done()
			cancel()
		}
		source.Close()
	}()
	if err := drain(c.Do(posts("/upload", func() io.Reader { return body }, 0)("http://api"))); err != nil {
		t.Fatal(err)
	}
	// Of a second, an eighth of the difference goes: to 938 ms if the source counts.
	if l := time.Duration(n.latency.Load()); l > 906*time.Millisecond {
		t.Errorf("a latency of %v after an upload whose source took 500 ms", l)
	}
}
