package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
)

// serviceFlags describe an instance to register.
type serviceFlags struct {
	info     registry.ServiceInfo
	zone     string
	metadata []string
	interval time.Duration // of probes
}

func (f *serviceFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.info.Name, "name", "", "service `name` (required)")
	flags.StringVar(&f.info.ID, "id", "", "instance `ID` (default: generated)")
	flags.StringVar(&f.info.Address, "address", "", "`address` at which others reach the instance (default: this machine's)")
	flags.IntVar(&f.info.Port, "port", 0, "port of the instance (required)")
	flags.StringVar(&f.info.Version, "version", "", "version of the service")
	flags.StringArrayVar(&f.info.Tags, "tag", nil, "a `tag`; may be repeated")
	flags.StringVar(&f.zone, "zone", "", "zone of the instance; the same as --meta zone=…")
	flags.StringArrayVar(&f.metadata, "meta", nil, "`key=value` for the metadata; may be repeated")
	flags.IntVar(&f.info.Weight, "weight", 1, "share of requests, relative to other instances")
	flags.StringVar(&f.info.HealthEndpoint, "check", "", "what to probe: an HTTP path such as /health, a `URL`, or tcp:")
	flags.DurationVar(&f.interval, "check-interval", health.DefaultInterval, "how often to probe")
	for _, name := range []string{"name", "id", "address", "port", "version", "tag", "zone", "meta", "weight", "check", "check-interval"} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions) // fails only for a flag that does not exist
	}
}

// service returns the instance that the flags describe. Its Address may be unset.
func (f *serviceFlags) service() (registry.ServiceInfo, error) {
	s := f.info
	s.Metadata = map[string]string{}
	for _, pair := range f.metadata {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return s, usageError{fmt.Errorf("--meta %q must be key=value", pair)}
		}
		s.Metadata[key] = value
	}
	if f.zone != "" {
		s.Metadata[registry.MetadataZone] = f.zone
	}
	if s.Name == "" {
		return s, usageError{errors.New("--name is missing")}
	}
	return s, nil
}

// validate refuses what a backend would refuse of s, without asking it. An unset
// address or port is accepted.
func (f *serviceFlags) validate(ctx context.Context, s registry.ServiceInfo) error {
	s.Address = cmp.Or(s.Address, "127.0.0.1")
	s.Port = cmp.Or(s.Port, 1)
	memory := registry.NewLocalRegistry()
	defer memory.Close()
	checked, err := f.probed(dryRun{memory})
	if err != nil {
		return err
	}
	if err := checked.Register(ctx, s); !errors.Is(err, errAcceptable) {
		return err
	}
	return nil
}

// errAcceptable is how a dryRun refuses what a backend would accept.
var errAcceptable = errors.New("acceptable")

// dryRun is a backend whose Register never succeeds, so that nothing is probed.
type dryRun struct{ registry.Backend }

func (d dryRun) Register(ctx context.Context, s registry.ServiceInfo) error {
	return cmp.Or(d.Backend.Register(ctx, s), errAcceptable)
}

// probed wraps a backend so that this process probes what it registers, if there
// is a --check. The instance is critical until its first probe has passed.
func (f *serviceFlags) probed(backend registry.Backend) (registry.Backend, error) {
	if f.info.HealthEndpoint == "" {
		return backend, nil
	}
	return health.New(backend, health.WithInitialStatus(registry.StatusCritical), health.WithInterval(f.interval))
}
