package faults

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/registry"
)

// leaseEnds returns when the leases in a service end, by Redis's clock.
func leaseEnds(t testing.TB, b registry.Backend, name string) map[string]time.Time {
	t.Helper()
	all, err := b.Instances(contextFor(t, slack), name)
	if err != nil {
		t.Fatalf("instances of %q: %v", name, err)
	}
	out := make(map[string]time.Time)
	for _, i := range all {
		out[i.ID] = i.ExpiresAt
	}
	return out
}

// isGone fails while Discover shows an ID.
func isGone(r registry.Registry, name, id string) func() error {
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

// keysWithoutTTL returns the keys that have no time to live.
func keysWithoutTTL(t testing.TB, c *redis.Client) []string {
	t.Helper()
	keys, err := c.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	pipe := c.Pipeline()
	left := make([]*redis.DurationCmd, len(keys))
	for i, key := range keys {
		left[i] = pipe.PTTL(t.Context(), key)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out []string
	for i, key := range keys {
		if left[i].Val() == -1 { // -2: it has just gone
			out = append(out, key)
		}
	}
	return out
}

// includes fails unless all of these are in the list.
func includes(list []registry.ServiceInfo, ids ...string) error {
	have := idsOf(list)
	for _, id := range ids {
		if !slices.Contains(have, id) {
			return fmt.Errorf("%q is not in %s", id, brief(have))
		}
	}
	return nil
}

// z is a member of a sorted set that ends at a time in microseconds.
func z(id string, ends int64) redis.Z { return redis.Z{Member: id, Score: float64(ends)} }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inOrder fails the test unless the list is ordered by unique times of
// registration and ends with id, which it returns.
func inOrder(t testing.TB, list []registry.ServiceInfo, id string) registry.ServiceInfo {
	t.Helper()
	for i := 1; i < len(list); i++ {
		if !list[i-1].RegisteredAt.Before(list[i].RegisteredAt) {
			t.Fatalf("not in the order of unique times: %s", describeInstances(list))
		}
	}
	if len(list) == 0 || list[len(list)-1].ID != id {
		t.Fatalf("%q was registered last, but the order is %s", id, describeInstances(list))
	}
	return list[len(list)-1]
}

// stored fails unless each of these sorted sets of services has n instances. It
// costs less than Discover, which would use most of two cores while many
// registrations come back.
func stored(t testing.TB, c *redis.Client, n int, sets ...string) func() error {
	return func() error {
		pause(t, 15*time.Millisecond, "between looks, as each reads much")
		pipe := c.Pipeline()
		counts := make([]*redis.IntCmd, len(sets))
		for i, set := range sets {
			counts[i] = pipe.ZCard(t.Context(), set)
		}
		_, err := pipe.Exec(t.Context())
		for i, count := range counts {
			if live := count.Val() - 1; err == nil && live != int64(n) { // one is no instance
				err = fmt.Errorf("%q has %d instances, want %d", sets[i], live, n)
			}
		}
		return err
	}
}
