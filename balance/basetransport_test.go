package balance

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// replaceDefault sets http.DefaultTransport for a test.
func replaceDefault(t *testing.T, rt http.RoundTripper) {
	t.Helper()
	before := http.DefaultTransport
	http.DefaultTransport = rt
	t.Cleanup(func() { http.DefaultTransport = before })
}

type (
	tracing    struct{ http.RoundTripper }
	hidden     struct{ next http.RoundTripper }
	twoLayers  struct{ inner *hidden }
	function   func(*http.Request) (*http.Response, error)
	aimless    struct{ a, b http.RoundTripper }
	recursive  struct{ next http.RoundTripper }
	nilPointer struct{ next *http.Transport }
)

func (h *hidden) RoundTrip(r *http.Request) (*http.Response, error)    { return h.next.RoundTrip(r) }
func (w twoLayers) RoundTrip(r *http.Request) (*http.Response, error)  { return w.inner.RoundTrip(r) }
func (f function) RoundTrip(r *http.Request) (*http.Response, error)   { return f(r) }
func (a aimless) RoundTrip(r *http.Request) (*http.Response, error)    { return a.a.RoundTrip(r) }
func (c *recursive) RoundTrip(r *http.Request) (*http.Response, error) { return c.next.RoundTrip(r) }
func (n nilPointer) RoundTrip(r *http.Request) (*http.Response, error) { return n.next.RoundTrip(r) }

func TestSettingsOfAWrappedDefaultTransportAreKept(t *testing.T) {
	r := localRegistry(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, req.Proto) }))
	s.EnableHTTP2, s.Config.ErrorLog = true, quietLog()
	s.StartTLS()
	t.Cleanup(s.Close)
	register(t, r, at("a", s.Listener.Addr()))
	own := http.DefaultTransport.(*http.Transport).Clone()
	own.TLSClientConfig = &tls.Config{RootCAs: pool(s)}
	own.TLSHandshakeTimeout = 7 * time.Second
	for name, rt := range map[string]http.RoundTripper{
		"itself":       own,
		"embedded":     tracing{own},
		"hidden":       &hidden{own},
		"in two":       twoLayers{&hidden{own}},
		"twice itself": aimless{own, tracing{own}},
	} {
		t.Run(name, func(t *testing.T) {
			replaceDefault(t, rt)
			var logs bytes.Buffer
			c, tr := client(t, r, WithService("api"), WithLogger(slog.New(slog.NewTextHandler(&logs, nil))))
			if got := get(t, c, "https://example.com/"); got != "HTTP/2.0" {
				t.Errorf("answered over %s", got)
			}
			if d := tr.config.base.TLSHandshakeTimeout; d != own.TLSHandshakeTimeout {
				t.Errorf("a handshake may take %v", d)
			}
			if logs.Len() != 0 {
				t.Errorf("logged: %s", &logs)
			}
		})
	}
}

func TestADefaultTransportThatHidesWhatItWrapsIsLogged(t *testing.T) {
	original := http.DefaultTransport.(*http.Transport)
	endless := &recursive{}
	endless.next = endless
	for name, rt := range map[string]http.RoundTripper{
		"function":  function(original.RoundTrip),
		"ambiguous": aimless{original, original.Clone()},
		"recursive": endless,
		"nil":       nilPointer{},
		"nothing":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			replaceDefault(t, rt)
			var logs bytes.Buffer
			_, tr := client(t, localRegistry(t), WithLogger(slog.New(slog.NewTextHandler(&logs, nil))))
			if !strings.Contains(logs.String(), "http.DefaultTransport are not used") || !strings.Contains(logs.String(), fmt.Sprintf("%T", rt)) {
				t.Errorf("logged: %q", &logs)
			}
			base := tr.config.base
			if !base.ForceAttemptHTTP2 || base.TLSHandshakeTimeout != 10*time.Second || base.IdleConnTimeout != 90*time.Second {
				t.Errorf("HTTP/2 %v, handshake %v, idle %v: not those that the program began with",
					base.ForceAttemptHTTP2, base.TLSHandshakeTimeout, base.IdleConnTimeout)
			}
		})
	}
}

func TestADialerOfTheDefaultTransportIsKept(t *testing.T) {
	own := http.DefaultTransport.(*http.Transport).Clone()
	var dials counter
	dial := own.DialContext
	own.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.add()
		if d, ok := ctx.Deadline(); !ok || time.Until(d) > dialTimeout {
			t.Errorf("a dial may take until %v, %v", d, ok)
		}
		return dial(ctx, network, address)
	}
	replaceDefault(t, own)
	r := localRegistry(t)
	serve(t, r, "a", nil)
	c, _ := client(t, r)
	if get(t, c, "http://api/"); dials.get() != 1 {
		t.Errorf("%d dials", dials.get())
	}
}

func TestADefaultTransportWithADeprecatedDialerIsRefused(t *testing.T) {
	own := http.DefaultTransport.(*http.Transport).Clone()
	own.DialTLS = net.Dial //lint:ignore SA1019 it is to be refused
	replaceDefault(t, own)
	if _, err := NewTransport(localRegistry(t)); !errors.Is(err, registry.ErrInvalidConfig) || !strings.Contains(err.Error(), "http.DefaultTransport") {
		t.Error(err)
	}
}
