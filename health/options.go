package health

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// Defaults of the options.
const (
	DefaultInterval    = 10 * time.Second // of WithInterval
	DefaultTimeout     = 2 * time.Second  // of WithTimeout
	DefaultRise        = 1                // of WithRise
	DefaultFall        = 3                // of WithFall
	DefaultConcurrency = 64               // of WithConcurrency
)

// Option configures a Checker.
type Option func(*config)

type config struct {
	interval      time.Duration
	timeout       time.Duration
	rise, fall    int
	concurrency   int
	initialStatus registry.Status // "": as registered
	logger        *slog.Logger
	client        *http.Client // nil: one that uses no proxy and no connection twice
	host          func(registry.ServiceInfo) string
	probes        map[string]Probe // by scheme, in addition to the built-in ones

	err error // of the first option that was refused
}

func newConfig(options []Option) (config, error) {
	c := config{
		interval: DefaultInterval, timeout: DefaultTimeout,
		rise: DefaultRise, fall: DefaultFall, concurrency: DefaultConcurrency,
		logger: slog.Default(), probes: make(map[string]Probe),
	}
	for _, o := range options {
		o(&c)
	}
	return c, c.err
}

func (c *config) refuse(option, problem string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s: %s", registry.ErrInvalidConfig, option, problem)
	}
}

func (c *config) requirePositive(option string, value int64) {
	if value <= 0 {
		c.refuse(option, "must be greater than 0")
	}
}

// WithInterval sets how often an instance is probed: for the first time as soon as
// it is registered, then after 80 to 100 % of the interval, at random, so that
// probes spread out. Default: DefaultInterval.
func WithInterval(interval time.Duration) Option {
	return func(c *config) {
		c.requirePositive("WithInterval", int64(interval))
		c.interval = interval
	}
}

// WithTimeout bounds one probe, and the writing of its verdict. A probe that takes
// longer counts as critical. Default: DefaultTimeout.
func WithTimeout(timeout time.Duration) Option {
	return func(c *config) {
		c.requirePositive("WithTimeout", int64(timeout))
		c.timeout = timeout
	}
}

// WithRise sets how many results in a row that are not critical bring a critical
// instance back. Default: DefaultRise.
func WithRise(results int) Option {
	return func(c *config) {
		c.requirePositive("WithRise", int64(results))
		c.rise = results
	}
}

// WithFall sets how many critical results in a row make an instance critical.
// Default: DefaultFall.
func WithFall(results int) Option {
	return func(c *config) {
		c.requirePositive("WithFall", int64(results))
		c.fall = results
	}
}

// WithConcurrency bounds how many probes run at a time. Default: DefaultConcurrency.
func WithConcurrency(probes int) Option {
	return func(c *config) {
		c.requirePositive("WithConcurrency", int64(probes))
		c.concurrency = probes
	}
}

// WithInitialStatus sets the status of an instance until its first verdict, unless
// its registration names one: registry.StatusCritical keeps it out of Discover
// until enough probes succeeded (see WithRise). Each registration begins with it, a
// repeated one as well. Default: as registered, so passing until a probe fails.
func WithInitialStatus(status registry.Status) Option {
	return func(c *config) {
		switch status {
		case registry.StatusPassing, registry.StatusWarning, registry.StatusCritical:
			c.initialStatus = status
		default:
			c.refuse("WithInitialStatus", fmt.Sprintf("must be passing, warning or critical, not %q", status))
		}
	}
}

// WithLogger sets the logger of status changes: to critical as a warning, others as
// information. Default: slog.Default().
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) {
		if logger == nil {
			c.refuse("WithLogger", "the logger is nil")
		}
		c.logger = logger
	}
}

// WithHTTPClient sets the client of HTTP probes, for a TLS configuration or a
// transport of one's own. It is copied: redirects are never followed. Default: a
// client that uses no proxy and a new connection for each probe.
func WithHTTPClient(client *http.Client) Option {
	return func(c *config) {
		if client == nil {
			c.refuse("WithHTTPClient", "the client is nil")
		}
		c.client = client
	}
}

// WithHost sets a function that names the host which HTTP probes ask the instance
// for: in the Host header and, over https, as the name for which its certificate
// must be valid. The connection still goes to the instance's address. With
// WithHTTPClient, the TLS name is that of the client's transport. host is called
// for each registration whose HealthEndpoint names no host, such as
// "https:/health"; if it returns "", the host is the instance's address and port.
// Default: "" for each.
func WithHost(host func(service registry.ServiceInfo) string) Option {
	return func(c *config) {
		if host == nil {
			c.refuse("WithHost", "the function is nil")
		}
		c.host = host
	}
}

// WithProbe adds the probe for endpoints of a scheme, in lower case. It may replace
// the built-in "http", "https" and "tcp". For "grpc" use the Probe of package
// grpcresolver.
func WithProbe(scheme string, probe Probe) Option {
	return func(c *config) {
		switch {
		case scheme == "" || strings.ContainsAny(scheme, ":/ ") || scheme != strings.ToLower(scheme):
			c.refuse("WithProbe", fmt.Sprintf("scheme %q must be a word in lower case without a colon", scheme))
		case probe == nil:
			c.refuse("WithProbe", fmt.Sprintf("the probe for scheme %q is nil", scheme))
		}
		c.probes[scheme] = probe
	}
}
