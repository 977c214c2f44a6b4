package grpcresolver

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"

	"github.com/rollcall-sd/rollcall/registry"
)

// Scheme is the scheme of targets that With resolves.
const Scheme = "rollcall"

// Option configures With.
type Option func(*builder)

// WithServiceConfig sets the service config that clients use, as JSON: the
// policy, and per method its timeouts, retries and so on. If it names no policy,
// that is round_robin. If gRPC refuses the config, for example because its policy
// is not imported, grpc.NewClient returns an error. Default: round_robin, and
// nothing else.
func WithServiceConfig(json string) Option {
	return func(b *builder) { b.config = json }
}

// WithProxyFromEnvironment lets connections to instances go through the proxy
// that HTTPS_PROXY and NO_PROXY name, as gRPC does with other targets. Policies
// then know no weights and zones. Default: instances are called directly.
func WithProxyFromEnvironment() Option {
	return func(b *builder) { b.proxied = true }
}

// With makes a client resolve targets of the form rollcall:///NAME through a
// watcher: a registry.Backend, or anything else that watches. Nothing is
// registered with gRPC globally, so clients of one program may use different
// watchers. The watch runs while the client is not idle; closing the client
// waits for it. A client that was idle while the backend became unavailable goes
// on with the instances that it knew. The watcher stays the caller's to close. If
// it is nil or an option is not acceptable, grpc.NewClient returns an error that
// names it.
func With(watcher registry.Watcher, options ...Option) grpc.DialOption {
	if watcher == nil {
		return refuse(errors.New("rollcall: With: the watcher is nil"))
	}
	b := &builder{watcher: watcher}
	for _, o := range options {
		o(b)
	}
	var err error
	if b.config, err = newConfig(b.config); err != nil {
		return refuse(fmt.Errorf("rollcall: WithServiceConfig: %w", err))
	}
	return grpc.WithResolvers(b)
}

// Target returns the target of a service, whatever characters its name has.
func Target(serviceName string) string {
	return Scheme + ":///" + url.PathEscape(serviceName)
}

// builder implements resolver.Builder.
type builder struct {
	watcher registry.Watcher
	config  string
	proxied bool
	memory  memory
}

func (b *builder) Scheme() string { return Scheme }

// Build is called when a client leaves its idle state. Its error fails calls.
func (b *builder) Build(t resolver.Target, cc resolver.ClientConn, options resolver.BuildOptions) (resolver.Resolver, error) {
	target, err := parseTarget(t.URL)
	if err != nil {
		return nil, err
	}
	r := &watchResolver{target: target, cc: cc, proxied: b.proxied, memory: &b.memory, done: make(chan struct{})}
	if !options.DisableServiceConfig {
		if r.config = cc.ParseServiceConfig(b.config); r.config.Err != nil {
			return nil, fmt.Errorf("rollcall: service config: %w", r.config.Err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go r.run(ctx, b.watcher)
	return r, nil
}
