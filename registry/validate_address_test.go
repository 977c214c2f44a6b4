package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
)

func TestAddressesThatCannotBeCalledAreRefused(t *testing.T) {
	r := registry.NewLocalRegistry()
	defer r.Close()
	for address, says := range map[string]string{
		"":                     "is empty",
		"[::1]":                "brackets",
		"[::1]:80":             "brackets",
		"0.0.0.0":              "AdvertiseAddr",
		"::":                   "AdvertiseAddr",
		"0:0:0:0:0:0:0:0":      "AdvertiseAddr",
		"::ffff:0.0.0.0":       "AdvertiseAddr",
		"::%eth0":              "AdvertiseAddr",
		"224.0.0.1":            "one host",
		"ff02::1":              "one host",
		"255.255.255.255":      "one host",
		"fe80::1":              "zone",
		"api.example:8080":     `write "api.example"`,
		"127.0.0.1:8080":       `write "127.0.0.1"`,
		":8080":                "port",
		"::1::2":               "not an IPv6 address",
		"http://api.example":   "is a URL",
		"http://h":             "is a URL",
		"grpc://10.0.0.1:80/x": "is a URL",
		" 127.0.0.1":           "space",
		"127.0.0.1 ":           "space",
		"api example":          `' '`,
		"api.example/health":   `'/'`,
		"/run/api.sock":        `'/'`,
		"user@api.example":     `'@'`,
		"a,b":                  `','`,
		"*":                    `'*'`,
		"api..example":         "empty part",
		".":                    "empty part",
		".example":             "empty part",
		"-api.example":         "hyphen",
		"256.1.1.1":            "neither",
		"10.0.0":               "neither",
		"10.0.0.1.5":           "neither",
	} {
		err := r.Register(t.Context(), registry.ServiceInfo{Name: "api", ID: "x", Address: address, Port: 80})
		if says == "" {
			if err != nil {
				t.Errorf("%q: %v", address, err)
			}
			continue
		}
		if !errors.Is(err, registry.ErrInvalidService) || !strings.Contains(err.Error(), "Address: ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got error %v, want ErrInvalidService with \"Address: …%s\"", address, err, says)
		}
	}
}

func TestAddressesThatCanBeCalledAreAccepted(t *testing.T) {
	r := registry.NewLocalRegistry()
	defer r.Close()
	for _, address := range []string{
		"127.0.0.1", "10.0.0.7", "::1", "2001:db8::1", "fe80::1%eth0", "::ffff:10.0.0.7", "localhost", "api",
		"api.example", "api.example.", "API.Example", "my_service", "web-1.default.svc.cluster.local", "1password.example",
		"bücher.example", "名前.example", "xn--bcher-kva.example", "a", "3com",
	} {
		if err := r.Register(t.Context(), registry.ServiceInfo{Name: "api", ID: "x", Address: address, Port: 80}); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}
