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
// own says that an HTTP probe is of the instance's own address.
func (c *Checker) probeFor(service registry.ServiceInfo) (probe Probe, endpoint string, own bool, err error) {
	scheme, rest, named := cutScheme(service.HealthEndpoint)
	switch {
	case !named:
		scheme, own = "http", true
		endpoint, err = pathURL(service, "http", service.HealthEndpoint)
	case scheme == "http" || scheme == "https":
		endpoint, own, err = httpURL(service, scheme, rest)
	case scheme == "tcp":
		endpoint, err = tcpAddress(rest)
	default:
		endpoint = rest
	}
	if err != nil {
		return nil, "", false, err
	}
	if probe = c.probes[scheme]; probe != nil {
		return probe, endpoint, own, nil
	}
	if scheme == "grpc" {
		return nil, "", false, refuse(`"grpc:" has no probe here: import github.com/rollcall-sd/rollcall/grpcresolver and pass health.WithProbe("grpc", grpcresolver.Probe())`)
	}
	return nil, "", false, refuse(fmt.Sprintf("there is no probe for scheme %q: write a path, http://, https:// or tcp:, or pass health.WithProbe(%[1]q, …)", scheme))
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
func pathURL(service registry.ServiceInfo, scheme, path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return "", refuse("is no path of a URL")
	}
	u.Scheme, u.Host = scheme, service.HostPort()
	return u.String(), nil
}

// httpURL reads what follows "http:" or "https:": a path on the instance itself,
// or "//" and the rest of a URL. In a URL the host before a colon may be left
// out: //:8443/path is that port of the instance's address, and //:/path its own port.
// own says that the host is the instance.
func httpURL(service registry.ServiceInfo, scheme, rest string) (address string, own bool, err error) {
	if !strings.HasPrefix(rest, "//") {
		address, err = pathURL(service, scheme, rest)
		return address, true, err
	}
	// No error repeats the URL: it may hold a password.
	u, err := url.Parse(scheme + ":" + rest)
	if err != nil {
		return "", false, refuse("is no valid URL")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", false, refuse("its port is outside 1-65535")
		}
	}
	if u.Hostname() != "" {
		return u.String(), false, nil
	}
	switch {
	case u.Port() != "":
		u.Host = net.JoinHostPort(service.Address, u.Port())
	case u.Host == ":":
		u.Host = service.HostPort()
	default:
		return "", false, refuse(fmt.Sprintf("is a URL without a host: write %[1]s:/path for the instance's own address, or %[1]s://:PORT/path", scheme))
	}
	return u.String(), true, nil
}

// tcpAddress reads what follows "tcp:"; nothing means the instance's own address.
func tcpAddress(rest string) (string, error) {
	rest = strings.TrimPrefix(rest, "//")
	if rest == "" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil || host == "" {
		return "", refuse("must be tcp: or tcp:host:port, with an IPv6 address in brackets")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", refuse("its port is outside 1-65535")
	}
	return rest, nil
}

func refuse(problem string) error {
	return fmt.Errorf("%w: HealthEndpoint: %s", registry.ErrInvalidService, problem)
}
