package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/rollcall-sd/rollcall/cmd/internal/consulapi"
	"github.com/rollcall-sd/rollcall/cmd/internal/prometheus"
	"github.com/rollcall-sd/rollcall/internal/backoff"
	"github.com/rollcall-sd/rollcall/registry"
)

const (
	readyPath = "/v1/ready"

	maxConnections = 20_000
	maxHeaderBytes = 64 << 10
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	// stopTimeout bounds how long requests may take once the daemon stops, and how long
	// it takes to leave.
	stopTimeout  = 5 * time.Second
	leaveTimeout = 10 * time.Second
)

// Run serves until ctx ends, and then stops in this order: it accepts no connection,
// answers blocked queries, deregisters what it keeps alive, and closes the backend. It
// writes to out what it listens on. It listens before it has reached the backend, which
// it tries until ctx ends; until then requests are answered with an error.
func Run(ctx context.Context, config Config, out io.Writer) error {
	c, err := config.check()
	if err != nil {
		return &ConfigError{err}
	}
	d := &daemon{config: c}
	if err := d.prepare(); err != nil {
		return err
	}
	defer d.listener.Close()
	server := d.server()
	served := make(chan error, 1)
	go func() { served <- server.Serve(d.listener) }()

	err = d.connect(ctx)
	if err == nil {
		d.printListening(out)
		if err := notify("READY=1"); err != nil {
			c.Logger.Warn("the notification of systemd that the daemon is ready failed", "error", err)
		}
		select {
		case <-ctx.Done():
		case err = <-served:
			served <- err
		}
	}
	stopped := errors.Is(err, context.Canceled) || err == nil
	err = errors.Join(ignore(err, context.Canceled), d.stop(server), ignore(<-served, http.ErrServerClosed))
	if err != nil && stopped {
		c.Logger.Warn("the daemon did not stop in order; what it kept alive expires", "error", err)
		return nil
	}
	return err
}

// ConfigError is an error of the configuration.
type ConfigError struct{ err error }

func (e *ConfigError) Error() string { return e.err.Error() }
func (e *ConfigError) Unwrap() error { return e.err }

func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

// daemon is one run.
type daemon struct {
	config   *checked
	node     string
	host     string // of the node
	port     int
	listener net.Listener
	access   *access
	backend  registry.Backend
	serving  atomic.Pointer[serving] // nil until the backend was reached
	ready    atomic.Bool
}

// prepare does what needs no backend.
func (d *daemon) prepare() (err error) {
	c := d.config
	if d.node, err = nodeName(c.Node); err != nil {
		return err
	}
	d.access = &access{next: http.HandlerFunc(d.answer), hosts: []string{strings.ToLower(d.node)}}
	for _, h := range c.AllowHosts {
		d.access.hosts = append(d.access.hosts, strings.ToLower(h))
	}
	if c.ReadTokens != "" {
		if d.access.read, err = openTokenFile(c.ReadTokens, c.Logger); err != nil {
			return &ConfigError{fmt.Errorf("read-tokens: %w", err)}
		}
	}
	if c.WriteTokens != "" {
		if d.access.write, err = openTokenFile(c.WriteTokens, c.Logger); err != nil {
			return &ConfigError{fmt.Errorf("write-tokens: %w", err)}
		}
	}
	config, err := c.tlsConfig()
	if err != nil {
		return &ConfigError{err}
	}
	l, err := net.Listen("tcp", c.HTTP)
	if err != nil {
		return err
	}
	if d.host, d.port, err = advertised(c.Advertise, l.Addr()); err != nil {
		_ = l.Close()
		return &ConfigError{fmt.Errorf("advertise: %w", err)}
	}
	d.access.hosts = append(d.access.hosts, strings.ToLower(d.host))
	d.listener = netutil.LimitListener(l, maxConnections)
	if config != nil {
		d.listener = tls.NewListener(d.listener, config)
	}
	return nil
}

// tlsConfig returns nil without TLS. The certificate is read again when its files
// change.
func (c *checked) tlsConfig() (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	pair := &certificate{cert: c.TLSCert, key: c.TLSKey, logger: c.Logger}
	if err := pair.read(); err != nil {
		return nil, fmt.Errorf("tls-cert: %w", err)
	}
	config := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: pair.get,
	}
	if c.TLSClientCA != "" {
		text, err := os.ReadFile(c.TLSClientCA)
		if err != nil {
			return nil, fmt.Errorf("tls-client-ca: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("tls-client-ca: %s has no certificate", c.TLSClientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}

func (d *daemon) server() *http.Server {
	return &http.Server{
		Handler:           d.access,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(logWriter{d.config.Logger}, "", 0),
	}
}

// logWriter makes what net/http logs lines of the daemon's log.
type logWriter struct{ logger *slog.Logger }

func (w logWriter) Write(line []byte) (int, error) {
	w.logger.Debug("http", "message", strings.TrimSpace(string(line)))
	return len(line), nil
}

func (d *daemon) answer(w http.ResponseWriter, r *http.Request) {
	s := d.serving.Load()
	switch {
	case r.URL.Path == readyPath && d.ready.Load():
		_, _ = io.WriteString(w, "ready\n") // the client has gone
	case r.URL.Path == readyPath:
		refuse(w, http.StatusServiceUnavailable, "not ready: the backend has not answered yet\n")
	case s == nil && r.URL.Path == prometheus.TargetsPath:
		refuse(w, http.StatusServiceUnavailable, "the backend has not answered yet\n")
	case s == nil:
		refuse(w, http.StatusInternalServerError, "No cluster leader: the backend has not answered yet")
	default:
		s.handler(r.URL.Path).ServeHTTP(w, r)
	}
}

// connect reaches the backend, for as long as it takes.
func (d *daemon) connect(ctx context.Context) error {
	c := d.config
	for reported := false; ; {
		backend, err := registry.Open(ctx, c.Backend)
		if err == nil {
			d.backend = backend
			break
		}
		if !errors.Is(err, registry.ErrUnavailable) || ctx.Err() != nil {
			if errors.Is(err, registry.ErrInvalidConfig) {
				err = &ConfigError{fmt.Errorf("backend: %w", err)}
			}
			return err
		}
		if !reported {
			reported = true
			c.Logger.Warn("the backend does not answer; trying until it does", "error", err)
		}
		if err := backoff.Sleep(ctx, backoff.Jitter(time.Second, 0.5)); err != nil {
			return err
		}
	}
	api, err := consulapi.New(consulapi.Config{
		Backend: d.backend, Node: d.node, NodeID: cmp.Or(c.NodeID, nodeID(d.node)), NodeMeta: c.meta, Address: d.host, Port: d.port,
		Datacenter: c.Datacenter, Version: c.Version, Logger: c.Logger, CheckAllow: c.prefixes,
	})
	if err != nil {
		return err
	}
	s := &serving{api: api}
	if s.faces, err = d.newFaces(api); err != nil {
		api.Close()
		return err
	}
	d.serving.Store(s)
	if err := api.Start(ctx); err != nil {
		return err
	}
	d.ready.Store(true)
	return nil
}

func (d *daemon) printListening(out io.Writer) {
	scheme := "http"
	if d.config.TLSCert != "" {
		scheme = "https"
	}
	url := scheme + "://" + d.listener.Addr().String()
	fmt.Fprintf(out, "rollcall %s serves Consul's HTTP API on %s (node %s, backend %s)\n", d.config.Version, url, d.node, backendKind(d.config.Backend))
	fmt.Fprintf(out, "Try: curl -X PUT %s/v1/agent/service/register -d '{\"Name\":\"hello\",\"Port\":8080}' && curl '%s/v1/health/service/hello?pretty'\n", url, url)
}

// backendKind is a URL without what may be secret.
func backendKind(url string) string {
	kind, _, _ := strings.Cut(url, ":")
	return kind
}

// stop ends a run. Requests that wait are answered.
func (d *daemon) stop(server *http.Server) error {
	d.ready.Store(false)
	_ = notify("STOPPING=1") // systemd learns it from the exit as well
	s := d.serving.Load()
	if s != nil {
		s.api.AnswerBlocked()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var failures []error
	if err := server.Shutdown(ctx); err != nil {
		failures = append(failures, fmt.Errorf("stop the HTTP server: %w", err), server.Close())
	}
	if s != nil {
		s.close()
		ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
		defer cancel()
		if err := s.api.Leave(ctx); err != nil {
			failures = append(failures, fmt.Errorf("deregister: %w", err))
		}
		s.api.Close()
	}
	if d.backend != nil {
		failures = append(failures, d.backend.Close())
	}
	return errors.Join(failures...)
}
