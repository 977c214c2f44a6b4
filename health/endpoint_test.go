package health_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
)

func TestEndpointsThatAreRefused(t *testing.T) {
	c := check(t, registry.NewLocalRegistry(), settings{Logger: quiet})
	defer c.Close()
	for endpoint, want := range map[string]string{
		"grpc:":                     "grpcresolver.Probe()",
		"grpc:my.Service":           "import github.com/rollcall-sd/rollcall/grpcresolver",
		"icmp:host":                 `no probe for scheme "icmp"`,
		"localhost:8080/health":     `no probe for scheme "localhost"`,
		"/%zz":                      "path",
		"http://":                   "without a host",
		"https:///health":           "write https:/path",
		"https://:0/health":         "1-65535",
		"https://:65536/health":     "1-65535",
		"https:/%zz":                "path",
		"http://user:secret@[::1/x": "URL",
		"tcp:host":                  "host:port",
		"tcp:host:0":                "1-65535",
		"tcp:host:http":             "1-65535",
		"tcp:::1:80":                "host:port",
	} {
		err := c.Register(t.Context(), probed("", endpoint))
		if !errors.Is(err, registry.ErrInvalidService) || !strings.Contains(err.Error(), "HealthEndpoint") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", endpoint, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows a password: %v", endpoint, err)
		}
	}
	if callable(t, c) != 0 {
		t.Error("something was registered")
	}
}

func TestWhatAPlugInIsGiven(t *testing.T) {
	for endpoint, want := range map[string]string{
		"grpc:":             "",
		"GRPC:my.Service":   "my.Service",
		"http://h/x?y":      "http://h/x?y",
		"/x?y=%20":          "http://[fd00::1]:80/x?y=%20",
		"//x/y":             "http://[fd00::1]:80//x/y",
		"ready":             "http://[fd00::1]:80/ready",
		"/at/12:30":         "http://[fd00::1]:80/at/12:30",
		"tcp:":              "",
		"tcp:h:9000":        "h:9000",
		"tcp://[fd00::2]:9": "[fd00::2]:9",
	} {
		got := make(chan health.Target, 1)
		probe := func(_ context.Context, target health.Target) health.Result {
			got <- target
			return health.Passing("")
		}
		c := check(t, registry.NewLocalRegistry(), settings{
			Logger: quiet, Probes: map[string]health.Probe{"http": probe, "tcp": probe, "grpc": probe},
		})
		must(t, c.Register(t.Context(), registry.ServiceInfo{Name: "api", Address: "fd00::1", Port: 80, HealthEndpoint: endpoint}))
		var target health.Target
		select {
		case target = <-got:
		case <-time.After(20 * time.Second):
			t.Fatalf("%q: not probed within 20 s", endpoint)
		}
		must(t, c.Close())
		if target.Endpoint != want || target.Instance.ID == "" || target.Instance.HostPort() != "[fd00::1]:80" {
			t.Errorf("%q: the probe was given %+v, want endpoint %q", endpoint, target, want)
		}
	}
}

func TestClosed(t *testing.T) {
	c := check(t, registry.NewLocalRegistry(), settings{})
	must(t, c.Close())
	for _, err := range []error{
		c.Register(t.Context(), asked("a")),
		c.Register(t.Context(), registry.ServiceInfo{}),
		c.Deregister(t.Context(), "a"),
	} {
		if !errors.Is(err, registry.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}
