package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	// maxBody bounds how much of a response is read, in bytes.
	maxBody = 4 << 10
	// maxHeader bounds the header of a response, in bytes.
	maxHeader = 64 << 10
)

// httpProber sends HTTP probes.
type httpProber struct {
	client http.Client
	own    *http.Transport // nil when the client was handed in
}

func newHTTPProber(given *http.Client) *httpProber {
	p := &httpProber{}
	if given != nil {
		p.client = *given
	} else {
		// A new connection each time: one that stands already shows nothing of
		// whether the server accepts another. No proxy: the way to probe is the direct one.
		p.own = &http.Transport{
			DialContext:            dialTarget,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: maxHeader,
		}
		p.client.Transport = p.own
	}
	p.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return p
}

func (p *httpProber) close() {
	if p.own != nil {
		p.own.CloseIdleConnections()
	}
}

func (p *httpProber) probe(ctx context.Context, target Target) Result {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := p.request(ctx, target)
	if err != nil {
		return Critical("HTTP GET: " + cause(err))
	}
	response, err := p.client.Do(request)
	if err != nil {
		return Critical("HTTP GET: " + cause(err))
	}
	defer response.Body.Close()
	body, err := readSome(ctx, cancel, response.Body)
	note := fmt.Sprintf("HTTP %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	switch code := response.StatusCode; {
	case code >= 200 && code < 300 && err != nil:
		return Critical(note + ", then: " + cause(err))
	case code >= 200 && code < 300:
		return Passing(note)
	case code == http.StatusTooManyRequests:
		return Warning(note)
	case code >= 300 && code < 400:
		return Critical(note + ": redirects are not followed")
	case len(body) > 0:
		return Critical(note + ": " + string(body))
	}
	return Critical(note)
}

// request makes the request of a probe. Where the checker names a host for the
// instance, that goes into the Host header and the TLS handshake, and the
// connection is made to the instance all the same.
func (p *httpProber) request(ctx context.Context, target Target) (*http.Request, error) {
	u, err := url.Parse(target.Endpoint)
	if err != nil {
		return nil, err
	}
	if target.host != "" && p.own != nil {
		ctx = context.WithValue(ctx, dialKey{}, u.Host)
		port := u.Port()
		if u.Host = target.host; u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), port)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if target.host != "" {
		request.Host = target.host
	}
	request.Header.Set("User-Agent", "rollcall-health")
	return request, nil
}

// dialKey is the key of a context's value that says where to connect, whatever
// host the URL names.
type dialKey struct{}

func dialTarget(ctx context.Context, network, address string) (net.Conn, error) {
	if target, ok := ctx.Value(dialKey{}).(string); ok {
		address = target
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// readSome reads what a note may need of a body. The status was sent by then, so
// a body that goes on without end, such as an event stream, is given up after
// half the time that is left; one that breaks off is an error.
func readSome(ctx context.Context, giveUp func(), body io.Reader) ([]byte, error) {
	var gaveUp atomic.Bool
	if deadline, ok := ctx.Deadline(); ok {
		t := time.AfterFunc(time.Until(deadline)/2, func() {
			gaveUp.Store(true)
			giveUp()
		})
		defer t.Stop()
	}
	some, err := io.ReadAll(io.LimitReader(body, maxBody))
	if gaveUp.Load() {
		err = nil
	}
	return some, err
}

// cause words an error without the URL, which the instance shows already and
// which may hold a password.
func cause(err error) string {
	var in *url.Error
	if errors.As(err, &in) {
		err = in.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
