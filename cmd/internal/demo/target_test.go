package demo

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

func TestTargetLocal(t *testing.T) {
	for _, backend := range []string{"", "local:"} {
		got, err := newTarget(backend)
		if err != nil || !got.local || got.url != "local:" || got.ttl != 0 {
			t.Errorf("newTarget(%q) = %+v, %v", backend, got, err)
		}
	}
}

func TestTargetRedis(t *testing.T) {
	tests := map[string]struct {
		backend        string
		ttl            time.Duration
		heartbeat      string // empty: left to the library
		namespace      string // what it begins with
		name           string
		keptParameters string
	}{
		"bare":           {"redis://h:6379", 2 * time.Second, "500ms", "demo-", "Redis at h:6379", ""},
		"own TTL":        {"redis://h:6379?ttl=9s", 9 * time.Second, "", "demo-", "Redis at h:6379", ""},
		"own heartbeat":  {"redis://h:6379?heartbeat=1s", 4 * time.Second, "1s", "demo-", "Redis at h:6379", ""},
		"own lease":      {"redis://h:6379?ttl=9s&heartbeat=1s", 9 * time.Second, "1s", "demo-", "Redis at h:6379", ""},
		"own namespace":  {"redis://h:6379?namespace=x", 2 * time.Second, "500ms", "x-demo-", "Redis at h:6379", ""},
		"with password":  {"redis://u:secret@h:6379/3", 2 * time.Second, "500ms", "demo-", "Redis at h:6379", ""},
		"several others": {"redis+sentinel://h:26379/m?addr=i:1&addr=j:2", 2 * time.Second, "500ms", "demo-", "Redis at h:26379", "i:1 j:2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := newTarget(test.backend)
			if err != nil {
				t.Fatal(err)
			}
			if got.local || got.ttl != test.ttl || got.name != test.name {
				t.Errorf("got %+v", got)
			}
			before, err := url.Parse(test.backend)
			if err != nil {
				t.Fatal(err)
			}
			after, err := url.Parse(got.url)
			if err != nil {
				t.Fatal(err)
			}
			if before.User.String() != after.User.String() || before.Host != after.Host || before.Path != after.Path {
				t.Errorf("%s became %s", test.backend, got.url)
			}
			query := after.Query()
			if query.Get("heartbeat") != test.heartbeat || strings.Join(query["addr"], " ") != test.keptParameters {
				t.Errorf("parameters %q", query)
			}
			if ns := query.Get("namespace"); ns != got.namespace || !strings.HasPrefix(ns, test.namespace) {
				t.Errorf("namespace %q in the URL, %q in the target", ns, got.namespace)
			}
		})
	}
}

// No two runs share a namespace.
func TestTargetNamespaceIsRandom(t *testing.T) {
	a, errA := newTarget("redis://h")
	b, errB := newTarget("redis://h")
	if errA != nil || errB != nil || a.namespace == b.namespace {
		t.Errorf("namespaces %q and %q, errors %v and %v", a.namespace, b.namespace, errA, errB)
	}
}

func TestTargetRefused(t *testing.T) {
	for _, backend := range []string{"ftp://h", "h:6379", "redis://:secret@[::1", "redis://:secret@h?ttl=no", "redis://:secret@h?nothing=1"} {
		_, err := newTarget(backend)
		if !errors.Is(err, registry.ErrInvalidConfig) || strings.Contains(err.Error(), "secret") {
			t.Errorf("newTarget(%q): %v", backend, err)
		}
	}
}
