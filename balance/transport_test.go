package balance

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

func TestRequestsGoToAllInstances(t *testing.T) {
	r := localRegistry(t)
	for _, id := range []string{"a", "b", "c"} {
		serve(t, r, id, nil)
	}
	c, tr := client(t, r)
	count := map[string]int{}
	for range 60 {
		count[get(t, c, "http://api/")]++
	}
	if len(count) != 3 {
		t.Errorf("%v", count)
	}
	if n := inFlight(tr); n != 0 {
		t.Errorf("%d still in flight", n)
	}
}

func TestTheServerSeesTheRequestAsItIs(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		user, password, _ := req.BasicAuth()
		fmt.Fprint(w, req.Method, " ", req.Host, " ", req.RequestURI, " ", string(body), " ", user, password)
	})
	c, _ := client(t, r)
	text, err := send(t, c, http.MethodPost, "http://u:p@api/x%2Fy?q=1", strings.NewReader("hello"))
	if want := "POST api /x%2Fy?q=1 hello up"; err != nil || text != want {
		t.Errorf("%q, %v, want %q", text, err, want)
	}
}

func TestTheResponseKnowsItsRequest(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", nil)
	_, tr := client(t, r)
	req := httptest.NewRequest(http.MethodGet, "http://api/", nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Request != req {
		t.Error("Response.Request is another")
	}
}

func TestOneServiceForNamesThatAreNoHosts(t *testing.T) {
	r := localRegistry(t)
	s := serve(t, localRegistry(t), "a", func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, req.Host) })
	i := at("a", s.Listener.Addr())
	i.Name = "the api / 名前"
	register(t, r, i)
	c, _ := client(t, r, WithService(i.Name))
	if host := get(t, c, "http://api.example:81/"); host != "api.example:81" {
		t.Errorf("Host is %q", host)
	}
}

func TestHTTPSNeedsACertificateOfTheService(t *testing.T) {
	r := localRegistry(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, req.Proto+" "+req.TLS.ServerName)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	i := at("a", s.Listener.Addr())
	i.Name = "example.com" // which the test server's certificate names
	register(t, r, i)
	i.ID, i.Name = "b", "other.test"
	register(t, r, i)

	trusting := &http.Transport{
		TLSClientConfig:   s.Client().Transport.(*http.Transport).TLSClientConfig,
		ForceAttemptHTTP2: true,
	}
	c, _ := client(t, r, WithTransport(trusting))
	if got := get(t, c, "https://example.com/"); got != "HTTP/2.0 example.com" {
		t.Errorf("answered %q", got)
	}
	_, err := send(t, c, http.MethodGet, "https://other.test/", nil)
	var mismatch *tls.CertificateVerificationError
	if !errors.As(err, &mismatch) {
		t.Errorf("with a certificate of another name: %v", err)
	}
}

func TestHTTP2NeedsNoSetting(t *testing.T) {
	base := &http.Transport{}
	n := &upstream{address: "10.0.0.1:1"}
	if !n.connections(base).ForceAttemptHTTP2 {
		t.Error("the dialer turned HTTP/2 off")
	}
	n = &upstream{address: "10.0.0.1:1"}
	if n.connections(&http.Transport{TLSClientConfig: &tls.Config{}}).ForceAttemptHTTP2 {
		t.Error("HTTP/2 is on, although net/http would not offer it")
	}
}

func TestURLsThatNameNoService(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", nil)
	_, tr := client(t, r)
	for url, want := range map[string]string{
		"http://api:8080/":          "leave the port out",
		"ftp://api/":                "neither http nor https",
		"http:///x":                 "no host",
		"http://u:secret@api:8080/": "http://u:xxxxx@api:8080/",
	} {
		req, err := http.NewRequest(http.MethodPost, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		body := &watchedBody{Reader: strings.NewReader("x")}
		req.Body = body
		_, err = tr.RoundTrip(req)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
		if body.closed.get() == 0 {
			t.Errorf("%s: the body is not closed", url)
		}
	}
	if _, err := tr.RoundTrip(&http.Request{}); err == nil {
		t.Error("a request without a URL is sent")
	}
}

func TestNoInstanceForARequest(t *testing.T) {
	c, _ := client(t, localRegistry(t))
	if _, err := send(t, c, http.MethodGet, "http://api/", nil); !errors.Is(err, ErrNoInstances) {
		t.Error(err)
	}
}

func TestRequestsAfterCloseFail(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", nil)
	c, tr := client(t, r)
	get(t, c, "http://api/")
	tr.Close()
	tr.Close()
	if _, err := send(t, c, http.MethodGet, "http://api/", nil); !errors.Is(err, registry.ErrClosed) {
		t.Error(err)
	}
}

func TestTheServiceUnusedForLongestIsDropped(t *testing.T) {
	r := localRegistry(t)
	serve(t, r, "a", nil)
	c, tr := client(t, r)
	get(t, c, "http://api/")
	old := tr.services.Get("api")
	for i := range MaxServices + 9 {
		if _, err := tr.follow(fmt.Sprint("other", i)); err != nil {
			t.Fatal(err)
		}
	}
	services := tr.services.All()
	if len(services) != MaxServices || services["api"] != nil {
		t.Errorf("%d services are watched", len(services))
	}
	if got := get(t, c, "http://api/"); got != "a" {
		t.Errorf("answered %q", got)
	}
	// Nor does it matter to a request that had begun by then.
	late := call{transport: tr, balancer: old, request: httptest.NewRequest(http.MethodGet, "http://api/", nil)}
	resp, err := late.run()
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestIdleConnectionsToInstancesThatLeftAreClosed(t *testing.T) {
	r := localRegistry(t)
	closed := make(chan struct{}, 10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.(http.Flusher).Flush()
		if req.URL.Path == "/held" {
			<-req.Context().Done()
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	register(t, r, at("a", s.Listener.Addr()))
	c, tr := client(t, r)
	held, err := c.Get("http://api/held")
	if err != nil {
		t.Fatal(err)
	}
	get(t, c, "http://api/") // over a second connection, which is idle now
	deregister(t, r, "a")
	awaitClosed(t, closed)
	select {
	case <-closed:
		t.Error("the connection in use was closed, too")
	default:
	}
	held.Body.Close()
	awaitClosed(t, closed)
	c.CloseIdleConnections()
	if n := inFlight(tr); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func TestAnInstanceThatAnswersWithErrorsIsEjected(t *testing.T) {
	r := localRegistry(t)
	var bad counter
	serve(t, r, "bad", func(w http.ResponseWriter, req *http.Request) {
		bad.add()
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	serve(t, r, "good", nil)
	for name, c := range map[string]struct {
		options []Option
		more    bool
	}{
		"by default":         {nil, false},
		"if it is a failure": {[]Option{WithFailure(func(r *http.Response) bool { return r.StatusCode == 500 })}, true},
	} {
		cl, _ := client(t, r, append(c.options, WithEjection(Ejection{First: 1e15, Most: 1e15}))...)
		before := bad.get()
		for range 100 {
			get(t, cl, "http://api/")
		}
		if got := bad.get() - before; got < 5 || got > 5 != c.more {
			t.Errorf("%s: called %d times", name, got)
		}
	}
}

// awaitClosed waits until the server saw a connection's end.
func awaitClosed(t *testing.T, closed <-chan struct{}) {
	t.Helper()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("no connection was closed within 20 s")
	}
}
