package faults

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// clusterConfig is a registry's configuration on a Cluster.
func clusterConfig(t testing.TB, c *redistest.Cluster) registry.RedisRegistryConfig {
	cfg := config(t, c.Nodes[0], shortTTL, shortHeartbeat)
	cfg.RedisAddr, cfg.Addrs = "", c.Addrs()
	return cfg
}

// A Cluster of three primaries with a replica each loses two primaries, one after
// the other: that of a service and that of the catalog.
//
// Promise 3, comes back; promise 7, no false empty; promise 8, a watch never dies
// silently; promise 12, runs on a Cluster.
func TestRunsWhereAClusterLosesPrimaries(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 3)
	cfg := clusterConfig(t, c)
	// The two are to be served by different primaries, as each has one replica only.
	for base := cfg.Namespace; c.NodeOf("rollcall:"+cfg.Namespace+":names") == c.NodeOf(keyOf(cfg, "web", "h")); {
		base += "x"
		cfg.Namespace = base
	}
	a, b, reader := open(t, cfg), open(t, cfg), open(t, cfg)
	names := []string{"web", "db", "mail", "shop"}
	want := make(map[string][]registry.ServiceInfo)
	watches := make(map[string]*watchLog)
	keys := []string{"rollcall:" + cfg.Namespace + ":names"}
	for _, name := range names {
		register(t, a, name, name+"-a")
		register(t, b, name, name+"-b")
		want[name] = present(t, reader, name)
		watches[name] = watch(t, reader, name)
		watches[name].await(t, time.Now(), backBy, "the start", is(want[name]))
		keys = append(keys, keyOf(cfg, name, "h"))
	}
	for _, lost := range []string{keyOf(cfg, "web", "h"), keys[0]} {
		began := time.Now()
		c.KillPrimaryOf(lost)
		awaitCluster(t, c, keys...)
		at := time.Now()
		t.Logf("all slots answer after %s", at.Sub(began).Round(time.Millisecond))
		var took, seen time.Duration
		for _, name := range names {
			took = max(took, within(t, at, backBy, "all are back", discoversExactly(reader, name, want[name])))
		}
		for _, name := range names {
			seen = max(seen, watches[name].await(t, at, 2*backBy, "a current state", is(want[name])))
		}
		figure(t, "Cluster: all back after a primary was lost", took)
		figure(t, "Cluster: watches current after a primary was lost", seen)
		within(t, at, backBy, "the catalog is back", func() error {
			got, err := reader.Services(contextFor(t, slack))
			if err == nil && !slices.Equal(got, slices.Sorted(slices.Values(names))) {
				err = fmt.Errorf("services are %q", got)
			}
			return err
		})
		for _, name := range names {
			requireWorking(t, a, reader, watches[name], want[name])
			watches[name].requireKept(t, began, name+"-a", name+"-b")
		}
		c.WaitOK()
	}
}

// awaitCluster waits until the keys' slots take writes again.
func awaitCluster(t testing.TB, c *redistest.Cluster, keys ...string) {
	t.Helper()
	for _, key := range keys {
		within(t, time.Now(), 30*time.Second, "the Cluster serves "+key, func() error {
			// A write that changes nothing: the key's time to live is longer, or it is gone.
			node := redis.NewClient(&redis.Options{Addr: c.NodeOf(key).Addr(), DisableIdentity: true})
			defer node.Close()
			return node.Do(t.Context(), "PEXPIRE", key, "1000", "GT").Err()
		})
	}
}
