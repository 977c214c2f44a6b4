package balance

import (
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

func TestSelection(t *testing.T) {
	instance := func(id, version, region string, tags ...string) registry.ServiceInfo {
		s := api(id)
		s.Version, s.Tags = version, tags
		if region != "" {
			s.Metadata = map[string]string{"region": region}
		}
		return s
	}
	r := localRegistry(t,
		instance("a", "1.1.9", "eu", "blue"),
		instance("b", "v1.2.0", "eu", "blue", "ssd"),
		instance("c", "1.9", "us", "green", "ssd"),
		instance("d", "2.0.0", "us"),
		instance("e", "1.3.0-rc.1", ""),
		instance("f", "latest", "eu"),
		instance("g", "", ""),
	)
	for name, c := range map[string]struct {
		options []Option
		want    string
	}{
		"all":                {nil, "a b c d e f g"},
		"caret":              {[]Option{WithVersion("^1.2")}, "b c"},
		"range":              {[]Option{WithVersion(">=1.2, <3")}, "b c d"},
		"either":             {[]Option{WithVersion("~1.1 || 2.x")}, "a d"},
		"pre-releases":       {[]Option{WithVersion("^1.2-0")}, "b c e"},
		"any version":        {[]Option{WithVersion("*")}, "a b c d"},
		"tag":                {[]Option{WithTags("ssd")}, "b c"},
		"tags":               {[]Option{WithTags("ssd"), WithTags("blue")}, "b"},
		"metadata":           {[]Option{WithMetadata("region", "eu")}, "a b f"},
		"all three":          {[]Option{WithMetadata("region", "us"), WithTags("ssd"), WithVersion("1")}, "c"},
		"metadata not empty": {[]Option{WithMetadata("zone", "")}, ""},
	} {
		b := balancer(t, r, c.options...)
		got := ""
		if c.want != "" {
			got = strings.Join(slices.Sorted(maps.Keys(shares(t, b, 300, nil))), " ")
		} else if _, err := b.Pick(t.Context()); !errors.Is(err, ErrNoInstances) {
			t.Errorf("%s: %v", name, err)
		}
		if got != c.want {
			t.Errorf("%s: picks %q, want %q", name, got, c.want)
		}
	}
}

func TestBadOptionsFailAtConstruction(t *testing.T) {
	r := localRegistry(t)
	for name, o := range map[string]TransportOption{
		"version":        WithVersion("^one"),
		"no version":     WithVersion(" "),
		"tag":            WithTags("a", ""),
		"wait":           WithWait(-1),
		"spill-over":     WithSpillOver(0),
		"ejection":       WithEjection(Ejection{First: time.Hour, Most: time.Second}),
		"negative first": WithEjection(Ejection{First: -1}),
		"logger":         WithLogger(nil),
		"service":        WithService(""),
		"transport":      WithTransport(nil),
		"dialer":         WithTransport(&http.Transport{DialTLS: net.Dial}),
		"tries":          WithTries(0),
		"failure":        WithFailure(nil),
	} {
		if o, ok := o.(Option); ok {
			if _, err := New(r, "api", o); !errors.Is(err, registry.ErrInvalidConfig) {
				t.Errorf("%s: New: %v", name, err)
			}
		}
		if _, err := NewTransport(r, o); !errors.Is(err, registry.ErrInvalidConfig) {
			t.Errorf("%s: NewTransport: %v", name, err)
		}
	}
	if _, err := New(r, "api", WithVersion("^1"), WithVersion("^2")); !errors.Is(err, registry.ErrInvalidConfig) {
		t.Errorf("two versions: %v", err)
	}
	if _, err := New(r, "api", WithMetadata("k", "v"), WithMetadata("k", "w")); !errors.Is(err, registry.ErrInvalidConfig) {
		t.Errorf("two values: %v", err)
	}
	if _, err := New(r, ""); !errors.Is(err, registry.ErrInvalidConfig) {
		t.Errorf("no name: %v", err)
	}
	if _, err := New(nil, "api"); !errors.Is(err, registry.ErrInvalidConfig) {
		t.Errorf("no watcher: %v", err)
	}
	if _, err := NewTransport(nil); !errors.Is(err, registry.ErrInvalidConfig) {
		t.Errorf("no watcher: %v", err)
	}
}
