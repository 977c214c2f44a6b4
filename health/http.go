package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// maxBody bounds how much of a response is read, in bytes.
const maxBody = 4 << 10

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
			DialContext:        (&net.Dialer{}).DialContext,
			DisableKeepAlives:  true,
			DisableCompression: true,
			ForceAttemptHTTP2:  true,
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
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.Endpoint, nil)
	if err != nil {
		return Critical("HTTP GET: " + cause(err))
	}
	request.Header.Set("User-Agent", "rollcall-health")
	response, err := p.client.Do(request)
	if err != nil {
		return Critical("HTTP GET: " + cause(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
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
