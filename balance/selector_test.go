package balance

import (
	"errors"
	"fmt"
	"maps"
	"math"
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
	for want, options := range map[string][]Option{
		"WithVersion":     {WithVersion("^one"), WithVersion(" ")},
		"WithTags":        {WithTags("a", "")},
		"WithWait":        {WithWait(-1)},
		"WithSpillOver":   {WithSpillOver(0)},
		"WithEjection":    {WithEjection(Ejection{First: time.Hour, Most: time.Second}), WithEjection(Ejection{First: -1})},
		"WithLogger":      {WithLogger(nil)},
		"WithService":     {WithService("")},
		"WithTransport":   {WithTransport(nil), WithTransport(&http.Transport{DialTLS: net.Dial})},
		"WithTries":       {WithTries(0)},
		"WithRetryBudget": {WithRetryBudget(RetryBudget{PerSecond: math.NaN()})},
		"WithFailure":     {WithFailure(nil)},
	} {
		for i, o := range options {
			_, err := New(r, "api", o)
			expectRefusal(t, fmt.Sprintf("New %s %d", want, i), err, want)
			_, err = NewTransport(r, o)
			expectRefusal(t, fmt.Sprintf("NewTransport %s %d", want, i), err, want)
		}
	}
	_, err := New(r, "api", WithVersion("^1"), WithVersion("^2"))
	expectRefusal(t, "two versions", err, "WithVersion")
	_, err = New(r, "api", WithMetadata("k", "v"), WithMetadata("k", "w"))
	expectRefusal(t, "two values", err, "WithMetadata")
	_, err = New(r, "")
	expectRefusal(t, "no name", err, "service name")
	_, err = New(nil, "api")
	expectRefusal(t, "New without a watcher", err, "watcher")
	_, err = NewTransport(nil)
	expectRefusal(t, "NewTransport without a watcher", err, "watcher")
}

func TestABalancerRefusesOptionsOfATransport(t *testing.T) {
	r := localRegistry(t)
	for name, o := range map[string]Option{
		"WithService":     WithService("api"),
		"WithTransport":   WithTransport(&http.Transport{}),
		"WithTries":       WithTries(2),
		"WithRetryBudget": WithRetryBudget(RetryBudget{}),
		"WithFailure":     WithFailure(func(*http.Response) bool { return false }),
	} {
		_, err := New(r, "api", o)
		expectRefusal(t, name, err, name+": is for NewTransport only")
		tr, err := NewTransport(r, o)
		if err != nil {
			t.Errorf("%s: NewTransport: %v", name, err)
			continue
		}
		tr.Close()
	}
}

// expectRefusal checks that a construction failed and that the error names what
// was wrong.
func expectRefusal(t *testing.T, what string, err error, want string) {
	t.Helper()
	if !errors.Is(err, registry.ErrInvalidConfig) || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want an ErrInvalidConfig with %q", what, err, want)
	}
}
