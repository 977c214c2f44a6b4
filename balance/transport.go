package balance

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/cowmap"
	"github.com/rollcall-sd/rollcall/registry"
)

// Transport is an http.RoundTripper that sends each request to an instance of
// the service that the URL's host names. It watches each service that it was
// asked for once, until Close. It is safe for concurrent use.
//
// The package's doc says which requests are repeated. A redirect to another
// host names another service; an http.Client's CheckRedirect can stop that.
type Transport struct {
	watcher registry.Watcher
	config  config

	services cowmap.Map[string, *Balancer]
	mu       sync.Mutex // held by those that change services
	closed   bool
}

var _ http.RoundTripper = (*Transport)(nil)

// MaxServices is how many services a Transport watches at a time. For one more
// it lets go of the one that was called longest ago.
const MaxServices = 1000

// NewTransport returns a transport. An option that is not acceptable gives an
// error that matches registry.ErrInvalidConfig and names it. Close it when it is
// no longer needed, before the registry that is the watcher.
func NewTransport(watcher registry.Watcher, options ...Option) (*Transport, error) {
	c := defaults()
	c.isTransport = true
	for _, o := range options {
		o(&c)
	}
	if watcher == nil {
		c.refuse("watcher", "is nil")
	}
	if c.base == nil && c.err == nil {
		c.useDefaultTransport()
	}
	if err := c.finish(); err != nil {
		return nil, fmt.Errorf("balance: %w", err)
	}
	t := &Transport{watcher: watcher, config: c}
	if c.service != "" {
		t.services.Set(c.service, start(watcher, c.service, c))
	}
	return t, nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	b, err := t.balancerFor(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	c := call{transport: t, balancer: b, request: req}
	b.retries.begin(b.now())
	defer b.retries.end()
	return c.run()
}

func (t *Transport) balancerFor(req *http.Request) (*Balancer, error) {
	service := t.config.service
	switch u := req.URL; {
	case u == nil:
		return nil, errors.New("balance: the request has no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("balance: %s: the scheme is neither http nor https", u.Redacted())
	case u.Host == "":
		return nil, fmt.Errorf("balance: %s: the URL names no host", u.Redacted())
	case service != "":
	case u.Port() != "":
		return nil, fmt.Errorf("balance: %s: the host is the name of a service, whose instances bring their ports: leave the port out, or use WithService", u.Redacted())
	default:
		service = u.Hostname()
	}
	b := t.services.Get(service)
	if b == nil {
		var err error
		if b, err = t.follow(service); err != nil {
			return nil, err
		}
	}
	// Not at each request: it would be a write shared by all processors.
	if now := b.now(); now-b.used.Load() > int64(time.Second) {
		b.used.Store(now)
	}
	return b, nil
}

// follow starts balancing a service, unless that runs already.
func (t *Transport) follow(service string) (*Balancer, error) {
	var dropped *Balancer
	t.mu.Lock()
	defer func() {
		t.mu.Unlock()
		if dropped != nil {
			dropped.Close()
		}
	}()
	if t.closed {
		return nil, fmt.Errorf("balance %q: the transport: %w", service, registry.ErrClosed)
	}
	services := t.services.All()
	if b := services[service]; b != nil {
		return b, nil
	}
	if len(services) >= MaxServices {
		dropped = longestUnused(services)
		t.services.Delete(dropped.service)
	}
	b := start(t.watcher, service, t.config)
	t.services.Set(service, b)
	return b, nil
}

func longestUnused(services map[string]*Balancer) *Balancer {
	var oldest *Balancer
	var when time.Time
	for _, b := range services {
		if used := b.start.Add(time.Duration(b.used.Load())); oldest == nil || used.Before(when) {
			oldest, when = b, used
		}
	}
	return oldest
}

// CloseIdleConnections closes the connections that no request uses. An
// http.Client's method of that name calls it.
func (t *Transport) CloseIdleConnections() {
	for _, b := range t.services.All() {
		b.closeIdle()
	}
}

// Close ends the watches, waits for them, and closes idle connections. Requests
// in flight go on; later ones fail with an error that matches
// registry.ErrClosed. A second Close does nothing. It always returns nil.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	services := t.services.Clear()
	t.mu.Unlock()
	for _, b := range services {
		b.cancel()
	}
	for _, b := range services {
		b.Close()
	}
	return nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
