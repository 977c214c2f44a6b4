package health

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// Defaults of Options.
const (
	DefaultInterval    = 10 * time.Second
	DefaultTimeout     = 2 * time.Second
	DefaultRise        = 1
	DefaultFall        = 3
	DefaultConcurrency = 64
)

// Options configures Check. The zero value is ready for use; 0 or less of a
// number or a duration means its default.
type Options struct {
	// Interval is how often an instance is probed: the first time as soon as it is
	// registered, and then each time after 80 to 100 % of Interval, at random, so
	// that probes spread out. Default: DefaultInterval.
	Interval time.Duration

	// Timeout bounds one probe, and the writing of its verdict. A probe that takes
	// longer counts as critical. Default: DefaultTimeout.
	Timeout time.Duration

	// Rise is how many results in a row that are not critical bring a critical
	// instance back. Default: DefaultRise.
	Rise int

	// Fall is how many critical results in a row make an instance critical.
	// Default: DefaultFall.
	Fall int

	// Concurrency bounds how many probes run at a time. Default: DefaultConcurrency.
	Concurrency int

	// InitialStatus is what an instance counts as until the first verdict, unless
	// its registration names a status: StatusCritical keeps it out of Discover
	// until Rise probes succeeded. A registration, also a repeated one, begins with
	// it. Default: as registered, so passing until proven otherwise.
	InitialStatus registry.Status

	// Logger takes transitions: to critical as a warning, others as information.
	// Default: slog.Default().
	Logger *slog.Logger

	// Client sends HTTP probes, for a TLS configuration or a transport of one's
	// own. It is copied: redirects are never followed. Default: a client that uses
	// no proxy and a new connection for each probe.
	Client *http.Client

	// Host names the host that HTTP probes ask the instance for, in the Host header
	// and, over https, as the name that its certificate must be valid for. The
	// connection is made to the instance's address all the same; with Client, the
	// TLS name is that of Client's transport. It is asked for each registration
	// whose HealthEndpoint names no host, such as "https:/health". "" means the
	// instance's address and port. Default: "" for each.
	Host func(service registry.ServiceInfo) string

	// Probes are probes by the scheme of the HealthEndpoint, in lower case, in
	// addition to "http", "https" and "tcp", which they may replace. "grpc" wants
	// the Probe of package grpcresolver.
	Probes map[string]Probe
}

func (o Options) withDefaults() Options {
	o.Interval = orDefault(o.Interval, DefaultInterval)
	o.Timeout = orDefault(o.Timeout, DefaultTimeout)
	o.Rise = orDefault(o.Rise, DefaultRise)
	o.Fall = orDefault(o.Fall, DefaultFall)
	o.Concurrency = orDefault(o.Concurrency, DefaultConcurrency)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func orDefault[T int | time.Duration](value, standard T) T {
	if value <= 0 {
		return standard
	}
	return value
}
