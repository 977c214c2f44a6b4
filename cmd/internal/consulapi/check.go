package consulapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/internal/probing"
	"github.com/rollcall-sd/rollcall/registry"
)

const (
	// maxRunningChecks bounds how many checks run at a time.
	maxRunningChecks = 128
	// maxOutput bounds what is kept of an answer, in bytes.
	maxOutput = 4 << 10
	ttlReason = "TTL expired"
)

// check is one check of a service that this daemon keeps alive, or of its node. The
// fields below mu's line are guarded by agent.mu.
type check struct {
	record    checkRecord
	serviceID string // "" for one of the node
	ttl       time.Duration
	interval  time.Duration
	timeout   time.Duration
	reapAfter time.Duration // how long it may be critical until the service is deregistered; 0: for ever

	state    checkState
	since    time.Time     // since when it has this status
	ended    bool          // no result counts from now on
	ttlTimer *time.Timer   // of a TTL check
	deadline time.Time     // of a TTL check
	reaper   *time.Timer   // runs while it is critical, if reapAfter is set
	task     *probing.Task // of a check that runs
	cancel   context.CancelFunc
}

// newCheck makes a check that does not run yet.
func newCheck(r checkRecord, serviceID string, initial checkState) (*check, error) {
	c := &check{record: r, serviceID: serviceID, state: initial, since: time.Now()}
	d := r.Definition
	for _, f := range []struct {
		text string
		into *time.Duration
	}{{d.TTL, &c.ttl}, {d.Interval, &c.interval}, {d.Timeout, &c.timeout}, {d.DeregisterCriticalServiceAfter, &c.reapAfter}} {
		if f.text == "" {
			continue
		}
		parsed, err := time.ParseDuration(f.text)
		if err != nil {
			return nil, fmt.Errorf("check %q: %w", r.ID, err)
		}
		*f.into = parsed
	}
	return c, nil
}

// prober runs checks that connect.
type prober struct {
	guard guard
	http  *http.Client
}

func newProber(g guard) *prober {
	p := &prober{guard: g}
	p.http = p.client(nil)
	return p
}

// client makes a new connection for each request, as health does, uses no proxy, and
// follows no redirect.
func (p *prober) client(config *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: p.guard.dial, TLSClientConfig: config, DisableKeepAlives: true, DisableCompression: true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// run runs a check once.
func (p *prober) run(ctx context.Context, d checkDefinitionJSON) checkState {
	switch {
	case d.HTTP != "":
		return p.runHTTP(ctx, d)
	case d.TCP != "":
		return p.runTCP(ctx, d)
	default:
		return p.runGRPC(ctx, d)
	}
}

func (p *prober) runHTTP(ctx context.Context, d checkDefinitionJSON) checkState {
	method := d.Method
	if method == "" {
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(ctx, method, d.HTTP, strings.NewReader(d.Body))
	if err != nil {
		return checkState{"critical", "the request cannot be made: " + withoutURL(err)}
	}
	for name, values := range d.Header {
		for _, v := range values {
			request.Header.Add(name, v)
		}
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "Consul Health Check")
	}
	if request.Header.Get("Accept") == "" {
		request.Header.Set("Accept", "text/plain, text/*, */*")
	}
	client := p.http
	if d.TLSSkipVerify || d.TLSServerName != "" {
		client = p.client(&tls.Config{InsecureSkipVerify: d.TLSSkipVerify, ServerName: d.TLSServerName}) //nolint:gosec // the check's own choice
	}
	response, err := client.Do(request)
	if err != nil {
		return checkState{"critical", withoutURL(err)}
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxOutput)) // the status was sent, the text is for people
	output := fmt.Sprintf("HTTP %s %s: %s Output: %s", method, request.URL.Redacted(), response.Status, body)
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return checkState{"passing", output}
	case code == http.StatusTooManyRequests:
		return checkState{"warning", output}
	}
	return checkState{"critical", output}
}

// withoutURL is the text of an error without the URL, which may hold a password.
func withoutURL(err error) string {
	var in *url.Error
	if errors.As(err, &in) {
		err = in.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}

func (p *prober) runTCP(ctx context.Context, d checkDefinitionJSON) checkState {
	conn, err := p.guard.dial(ctx, "tcp", d.TCP)
	if err != nil {
		return checkState{"critical", withoutURL(err)}
	}
	_ = conn.Close() // nothing was sent
	return checkState{"passing", "TCP connect " + d.TCP + ": Success"}
}

func (p *prober) runGRPC(ctx context.Context, d checkDefinitionJSON) checkState {
	address, service, _ := strings.Cut(d.GRPC, "/")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return checkState{"critical", "GRPC must be host:port or host:port/service"}
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return checkState{"critical", err.Error()}
	}
	options := []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
		return p.guard.dial(ctx, "tcp", to)
	})}
	if d.GRPCUseTLS {
		name := d.TLSServerName
		if name == "" {
			name = host
		}
		options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(
			&tls.Config{InsecureSkipVerify: d.TLSSkipVerify, ServerName: name}))) //nolint:gosec // the check's own choice
	}
	result := grpcresolver.Probe(options...)(ctx, health.Target{
		Instance: registry.ServiceInfo{Name: "check", Address: host, Port: number}, Endpoint: service,
	})
	return checkState{statusText(result.Status), "gRPC check " + d.GRPC + ": " + result.Note}
}
