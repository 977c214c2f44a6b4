package health

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/rollcall-sd/rollcall/registry"
)

// probeFor finds the probe that a HealthEndpoint asks for and what to give it.
func (c *Checker) probeFor(service registry.ServiceInfo) (probe Probe, endpoint string, err error) {
	scheme, rest, named := cutScheme(service.HealthEndpoint)
	switch {
	case !named:
		scheme = "http"
		endpoint, err = pathURL(service)
	case scheme == "http" || scheme == "https":
		endpoint, err = service.HealthEndpoint, checkURL(service.HealthEndpoint)
	case scheme == "tcp":
		endpoint, err = tcpAddress(rest)
	default:
		endpoint = rest
	}
	if err != nil {
		return nil, "", err
	}
	if probe = c.probes[scheme]; probe != nil {
		return probe, endpoint, nil
	}
	if scheme == "grpc" {
		return nil, "", refuse(`"grpc:" has no probe here: import github.com/rollcall-sd/rollcall/grpcresolver and set Options.Probes["grpc"] to grpcresolver.Probe()`)
	}
	return nil, "", refuse(fmt.Sprintf("there is no probe for scheme %q: write a path, http://, https:// or tcp:, or set Options.Probes[%[1]q]", scheme))
}

// cutScheme splits an endpoint at the colon after its scheme. A path has none.
func cutScheme(endpoint string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(endpoint, ":")
	if !ok || strings.ContainsAny(scheme, "/?") {
		return "", endpoint, false
	}
	return strings.ToLower(scheme), rest, true
}

// pathURL is the URL of a path on the instance itself.
func pathURL(service registry.ServiceInfo) (string, error) {
	path := service.HealthEndpoint
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return "", refuse("is no path of a URL")
	}
	u.Scheme, u.Host = "http", service.HostPort()
	return u.String(), nil
}

// checkURL says what is wrong with a URL, without repeating it: it may hold a password.
func checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return refuse("is no valid URL")
	case u.Hostname() == "":
		return refuse("is a URL without a host")
	}
	return nil
}

// tcpAddress reads what follows "tcp:"; nothing means the instance's own address.
func tcpAddress(rest string) (string, error) {
	rest = strings.TrimPrefix(rest, "//")
	if rest == "" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil || host == "" {
		return "", refuse("wants tcp: or tcp:host:port, an IPv6 address in brackets")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", refuse("its port is outside 1-65535")
	}
	return rest, nil
}

func refuse(problem string) error {
	return fmt.Errorf("%w: HealthEndpoint: %s", registry.ErrInvalidService, problem)
}
