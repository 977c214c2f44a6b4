package faults

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/registry"
)

// ends returns when the leases in a service end, by Redis's clock.
func ends(t testing.TB, b registry.Backend, name string) map[string]time.Time {
	t.Helper()
	all, err := b.Instances(soon(t, slack), name)
	if err != nil {
		t.Fatalf("instances of %q: %v", name, err)
	}
	out := make(map[string]time.Time)
	for _, i := range all {
		out[i.ID] = i.ExpiresAt
	}
	return out
}

// gone fails while Discover shows an ID.
func gone(r registry.Registry, name, id string) func() error {
	return func() error {
		all, err := discover(r, name)
		if err == nil && slices.Contains(idsOf(all), id) {
			err = fmt.Errorf("Discover(%q) shows %q", name, id)
		}
		return err
	}
}

// keyOf is the name of one of the two keys of a service without characters that
// are escaped: "h", the hash, or "z", the sorted set.
func keyOf(cfg registry.RedisRegistryConfig, name, kind string) string {
	return "rollcall:" + cfg.Namespace + ":{" + name + "}:" + kind
}

// forever returns the keys that have no time to live.
func forever(t testing.TB, c *redis.Client) []string {
	t.Helper()
	keys, err := c.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, key := range keys {
		left, err := c.PTTL(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if left == -1 { // -2: it has just gone
			out = append(out, key)
		}
	}
	return out
}
