package demo

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// A TTL short enough to wait for. It has four heartbeats.
const (
	shortTTL       = 2 * time.Second
	shortHeartbeat = 500 * time.Millisecond
)

// target is the backend that the demo runs on.
type target struct {
	url       string // with the demo's namespace and TTL; may have a password
	name      string // to be shown
	local     bool
	ttl       time.Duration // 0: nothing expires
	namespace string        // on Redis
}

// newTarget checks the URL. It adds a short TTL if the URL has none, and always a
// namespace of the demo's own, so that it never touches other data.
func newTarget(backend string) (target, error) {
	if backend == "" {
		backend = "local:"
	}
	if strings.HasPrefix(backend, "local:") {
		return target{url: backend, name: "the in-memory backend", local: true}, nil
	}
	config, err := registry.ParseURL(backend)
	if err != nil {
		return target{}, err
	}
	u, err := url.Parse(backend)
	if err != nil {
		// The cause would quote the URL, and with it the password.
		return target{}, fmt.Errorf("%w: not a URL", registry.ErrInvalidConfig)
	}
	query := u.Query()
	if query.Get("ttl") == "" {
		ttl, heartbeat := shortTTL, shortHeartbeat
		if query.Get("heartbeat") != "" {
			heartbeat = config.HeartbeatInterval
			ttl = max(ttl, 4*heartbeat)
		}
		query.Set("ttl", ttl.String())
		query.Set("heartbeat", heartbeat.String())
	}
	namespace := "demo-" + strings.ToLower(rand.Text()[:8])
	if given := query.Get("namespace"); given != "" {
		namespace = given + "-" + namespace
	}
	query.Set("namespace", namespace)
	u.RawQuery = query.Encode()

	config, err = registry.ParseURL(u.String())
	if err != nil {
		return target{}, err
	}
	return target{
		url:       u.String(),
		name:      "Redis at " + cmp.Or(u.Host, "localhost"),
		ttl:       config.TTL,
		namespace: namespace,
	}, nil
}
