package balance

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// Defaults of the options.
const (
	DefaultTries     = 3  // of WithTries
	DefaultSpillOver = 64 // of WithSpillOver
)

// Option configures a Balancer or a Transport. WithService, WithTransport,
// WithTries, WithRetryBudget and WithFailure are for NewTransport only: New
// refuses them.
type Option func(*config)

type config struct {
	selection selection
	zone      string
	spill     int
	wait      time.Duration
	ejection  Ejection
	logger    *slog.Logger
	random    func() uint64 // nil: math/rand

	isTransport bool   // the rest, save err, is for a Transport only
	service     string // all requests go to it; "" takes the URL's host
	base        *http.Transport
	tries       int
	budget      RetryBudget
	failure     func(*http.Response) bool

	err error // the first
}

func defaults() config {
	return config{
		spill: DefaultSpillOver, logger: slog.Default(),
		tries: DefaultTries, failure: func(r *http.Response) bool { return r.StatusCode >= 500 },
	}
}

func (c *config) refuse(option, problem string) {
	if c.err == nil {
		c.err = badOption(option, problem)
	}
}

// atLeast returns the value of an option, which it refuses if it is too small.
func atLeast[T int | time.Duration](c *config, option string, value, minimum T) T {
	if value < minimum {
		c.refuse(option, fmt.Sprintf("%v is less than the minimum of %v", value, minimum))
	}
	return value
}

// forTransport refuses an option that a Balancer has no use for.
func (c *config) forTransport(option string) {
	if !c.isTransport {
		c.refuse(option, "is for NewTransport only")
	}
}

func (c *config) finish() error {
	c.ejection.setDefaults()
	if problem := c.ejection.problem(); problem != "" {
		c.refuse("WithEjection", problem)
	}
	c.budget.setDefaults()
	if problem := c.budget.problem(); problem != "" {
		c.refuse("WithRetryBudget", problem)
	}
	return c.err
}

// WithTags selects instances that have all these tags. Given again, it adds to them.
func WithTags(tags ...string) Option {
	return func(c *config) {
		for _, tag := range tags {
			if tag == "" {
				c.refuse("WithTags", "a tag is empty, and no instance has an empty one")
			}
			c.selection.Tags = append(c.selection.Tags, tag)
		}
	}
}

// WithMetadata selects instances whose Metadata has this key with this value.
// Given again with another key, both must match.
func WithMetadata(key, value string) Option {
	return func(c *config) {
		if other, set := c.selection.Metadata[key]; set && other != value {
			c.refuse("WithMetadata", fmt.Sprintf("%q is to be %q and %q at once", key, other, value))
		}
		if c.selection.Metadata == nil {
			c.selection.Metadata = map[string]string{}
		}
		c.selection.Metadata[key] = value
	}
}

// WithVersion selects instances whose Version is in a range of semantic
// versions such as "^1.2", "~1.4.2", ">=1.2, <3" or "1.x || 2.x". A leading v
// and missing parts of an instance's version are taken as usual (v1.2 is
// 1.2.0). An instance whose Version is no semantic version does not match, and
// a pre-release (1.3.0-rc.1) only a range that names one (^1.2-0).
func WithVersion(constraint string) Option {
	return func(c *config) {
		if err := c.selection.setVersion(constraint); err != nil {
			c.refuse("WithVersion", err.Error())
		}
	}
}

// WithZone prefers instances whose Metadata has this zone under
// registry.MetadataZone. Those of other zones are called when none of the own
// is to be had, because it left, drains or is ejected, and when the own are
// full: see WithSpillOver. "" is no preference.
func WithZone(zone string) Option {
	return func(c *config) { c.zone = zone }
}

// WithSpillOver sets how many requests of this process an instance of the own
// zone may have in flight, if its weight is the average of the zone, before
// others are taken into account; the less loaded one is then called. Default:
// DefaultSpillOver.
func WithSpillOver(inFlight int) Option {
	return func(c *config) { c.spill = atLeast(c, "WithSpillOver", inFlight, 1) }
}

// WithWait makes a pick wait up to d for an instance to call if there is none,
// rather than fail at once. The context bounds it as well. Default: 0.
func WithWait(d time.Duration) Option {
	return func(c *config) { c.wait = atLeast(c, "WithWait", d, 0) }
}

// WithEjection sets when and for how long a failing instance is ejected.
func WithEjection(e Ejection) Option {
	return func(c *config) { c.ejection = e }
}

// WithLogger sets where it is logged that an instance is ejected or readmitted.
// Default: slog.Default().
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) {
		if logger == nil {
			c.refuse("WithLogger", "the logger is nil")
		}
		c.logger = logger
	}
}

// WithService sends all requests of a Transport to this service, for a name
// that is no host name. The URL's host, which may have a port then, only names
// the Host header and, with https, the certificate.
func WithService(name string) Option {
	return func(c *config) {
		c.forTransport("WithService")
		if name == "" {
			c.refuse("WithService", "the name is empty")
		}
		c.service = name
	}
}

// WithTransport sets what connections are made of: TLS, timeouts, limits, a
// DialContext that is given the instance's address. It is cloned for each
// instance, so its limits are per instance; its Proxy, and protocols that
// RegisterProtocol added, are not used. With HTTP/2 of golang.org/x/net
// (http2.ConfigureTransports), the settings of its http2.Transport, such as
// pings, hold for all instances.
//
// Default: a clone of http.DefaultTransport that gives up a dial after 3 s and
// keeps up to 100 idle connections to each instance. Where a library has put a
// wrapper there, the *http.Transport in its fields counts, else the one that
// was there when the program began, which is logged. What the wrapper does is
// not done: wrap the Transport of this package instead.
func WithTransport(base *http.Transport) Option {
	return func(c *config) {
		c.forTransport("WithTransport")
		if problem := transportProblem(base); problem != "" {
			c.refuse("WithTransport", problem)
		}
		c.base = base
	}
}

// WithTries sets how many instances a request may be sent to at the most, where
// it is safe to repeat. Connections that could not be made do not count, as
// nothing was sent. Default: DefaultTries; 1: nothing is sent twice.
func WithTries(n int) Option {
	return func(c *config) {
		c.forTransport("WithTries")
		c.tries = atLeast(c, "WithTries", n, 1)
	}
}

// WithRetryBudget limits how many requests of a service are repeated, whatever
// WithTries allows. Default: the zero RetryBudget, with its defaults.
func WithRetryBudget(r RetryBudget) Option {
	return func(c *config) {
		c.forTransport("WithRetryBudget")
		c.budget = r
	}
}

// WithFailure says which responses speak against the instance that gave them,
// so that it is ejected when there are too many in a row. They are handed to
// the caller all the same, and not repeated. failed must not touch the body.
// Default: those with a status of 500 or more.
func WithFailure(failed func(*http.Response) bool) Option {
	return func(c *config) {
		c.forTransport("WithFailure")
		if failed == nil {
			c.refuse("WithFailure", "the function is nil")
		}
		c.failure = failed
	}
}
