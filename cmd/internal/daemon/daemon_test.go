package daemon

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
)

// running is a daemon that runs in this process.
type running struct {
	url  string
	stop context.CancelFunc
	end  chan error
}

// run runs a daemon until the test ends or stop is called.
func run(t *testing.T, config Config) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{stop: cancel, end: make(chan error, 1)}
	config.Logger = slog.New(slog.DiscardHandler)
	out, in := io.Pipe()
	var running sync.WaitGroup
	running.Go(func() {
		err := Run(ctx, config, in)
		_ = in.CloseWithError(fmt.Errorf("ended: %v", err))
		r.end <- err
	})
	t.Cleanup(func() { cancel(); running.Wait(); http.DefaultClient.CloseIdleConnections() })
	lines := bufio.NewScanner(out)
	for r.url == "" && lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), " API on "); ok {
			r.url, _, _ = strings.Cut(rest, " ")
		}
	}
	if r.url == "" {
		t.Fatalf("the daemon printed no URL: %v", lines.Err())
	}
	running.Go(func() { _, _ = io.Copy(io.Discard, out) })
	return r
}

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waittest.Limit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// A stop answers the queries that wait.
func TestAStopAnswersBlockedQueries(t *testing.T) {
	d, url := prepared(t, Config{Backend: "local:", HTTP: "127.0.0.1:0", Node: "n1"})
	server, served := d.server(), make(chan error, 1)
	go func() { served <- server.Serve(d.listener) }()
	if err := d.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	answered := make(chan string, 1)
	go func() {
		response, err := http.Get(url + "/v1/health/service/none?index=18446744073709551615")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		answered <- response.Status
	}()
	waittest.Eventually(t, "the query to wait", func() bool { return d.serving.Load().api.Blocked() > 0 })
	if err := d.stop(server); err != nil {
		t.Errorf("stop: %v", err)
	}
	if got := waittest.Receive(t, answered, "the blocked query"); got != "200 OK" {
		t.Errorf("the blocked query was answered with %s", got)
	}
	if err := waittest.Receive(t, served, "the server to end"); err != http.ErrServerClosed {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestADaemonEndsWithItsContext(t *testing.T) {
	d := run(t, Config{Backend: "local:", HTTP: "127.0.0.1:0", Node: "n1"})
	if code, body := get(t, d.url+readyPath); code != http.StatusOK {
		t.Fatalf("ready: %d %s", code, body)
	}
	d.stop()
	if err := waittest.Receive(t, d.end, "the daemon to end"); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// prepared is a daemon that listens and has not reached its backend.
func prepared(t *testing.T, config Config) (d *daemon, url string) {
	t.Helper()
	config.Logger = slog.New(slog.DiscardHandler)
	c, err := config.check()
	if err != nil {
		t.Fatal(err)
	}
	d = &daemon{config: c}
	if err := d.prepare(); err != nil {
		t.Fatal(err)
	}
	return d, "http://" + d.listener.Addr().String()
}

// A daemon that finds no backend listens, says so, and goes on when there is one.
func TestADaemonWaitsForItsBackend(t *testing.T) {
	s := redistest.Start(t)
	s.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	d, url := prepared(t, Config{Backend: "redis://" + s.Addr(), HTTP: "127.0.0.1:0", Node: "n1"})
	server := d.server()
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(d.listener) })
	connected := make(chan error, 1)
	serving.Go(func() { connected <- d.connect(ctx) })
	t.Cleanup(func() {
		cancel()
		_ = d.stop(server)
		serving.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
	if code, _ := get(t, url+readyPath); code != http.StatusServiceUnavailable {
		t.Errorf("ready without a backend: %d", code)
	}
	if code, body := get(t, url+"/v1/catalog/services"); code != http.StatusInternalServerError {
		t.Errorf("services without a backend: %d %s", code, body)
	}
	if code, body := get(t, url+"/v1/prometheus/sd"); code != http.StatusServiceUnavailable {
		t.Errorf("targets without a backend: %d %s", code, body)
	}
	s.Restart()
	if err := waittest.Receive(t, connected, "the backend"); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, url+readyPath); code != http.StatusOK {
		t.Errorf("ready: %d %s", code, body)
	}
	if code, body := get(t, url+"/v1/prometheus/sd"); code != http.StatusOK || body != "[]\n" {
		t.Errorf("targets: %d %s", code, body)
	}
}

// Headers of megabytes and bodies that never end are cut off.
func TestRequestsWithoutMeasure(t *testing.T) {
	d := run(t, Config{Backend: "local:", HTTP: "127.0.0.1:0", Node: "n1"})
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(waittest.Limit))
	go func() {
		_, _ = fmt.Fprintf(conn, "GET /v1/ready HTTP/1.1\r\nHost: localhost\r\n")
		for range 4096 {
			if _, err := fmt.Fprintf(conn, "X-A: %s\r\n", bytes.Repeat([]byte("a"), 1024)); err != nil {
				return
			}
		}
	}()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.Contains(line, "431") {
		t.Errorf("a header of 4 MB was answered with %q", line)
	}

	response, err := http.Post(d.url+"/v1/agent/service/register", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	r, err := http.NewRequest(http.MethodPut, d.url+"/v1/agent/service/register", endless{})
	if err != nil {
		t.Fatal(err)
	}
	response, err = http.DefaultClient.Do(r)
	if err == nil {
		defer response.Body.Close()
		if response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("a body without end was answered with %d", response.StatusCode)
		}
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestTLSWithClientCertificates(t *testing.T) {
	authority := redistest.NewCA(t)
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := authority.Issue(t)
	pair := pairOf(t, authority)
	d := run(t, Config{
		Backend: "local:", HTTP: "127.0.0.1:0", Node: "n1",
		TLSCert: write("cert", cert), TLSKey: write("key", key), TLSClientCA: write("ca", authority.PEM()),
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM())
	for _, test := range []struct {
		name  string
		certs []tls.Certificate
		ok    bool
	}{{"with a certificate", []tls.Certificate{pair}, true}, {"without one", nil, false}, {"with one of another authority", []tls.Certificate{pairOf(t, redistest.NewCA(t))}, false}} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: test.certs}}}
		response, err := client.Get(d.url + readyPath)
		if err == nil {
			_ = response.Body.Close()
		}
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
		client.CloseIdleConnections()
	}
	// While the files cannot be read, the certificate that was read last is used.
	if err := os.Remove(filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	listener := &certificate{cert: filepath.Join(dir, "cert"), key: filepath.Join(dir, "key"), logger: slog.New(slog.DiscardHandler), pair: &pair}
	if got, err := listener.get(nil); err != nil || got != &pair {
		t.Errorf("without the key's file: %v", err)
	}
}

func pairOf(t *testing.T, authority *redistest.CA) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(authority.Issue(t))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
