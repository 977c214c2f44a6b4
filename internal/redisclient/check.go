package redisclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// CheckUsable reports why a client that a caller handed in cannot carry a
// registry: scripts need one primary for each key. A failover client with
// ReplicaOnly cannot be recognised here: its first write fails with READONLY.
func CheckUsable(c redis.UniversalClient) error {
	switch c := c.(type) {
	case *Client:
		if c == nil {
			return errors.New("it is a nil *Client")
		}
		return CheckUsable(c.UniversalClient)
	case *redis.Client:
		if c == nil {
			return errors.New("it is a nil *redis.Client")
		}
		return nil
	case *redis.ClusterClient:
		if c == nil {
			return errors.New("it is a nil *redis.ClusterClient")
		}
		// RouteByLatency and RouteRandomly set ReadOnly as well.
		if o := c.Options(); o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			return errors.New("it reads from replicas: unset ReadOnly, RouteByLatency and RouteRandomly")
		}
		return nil
	case nil:
		return errors.New("it is nil")
	default:
		return fmt.Errorf("%T is not supported: use *redis.Client or *redis.ClusterClient", c)
	}
}

// IsCluster reports whether the client talks to a Redis Cluster.
func IsCluster(c redis.UniversalClient) bool {
	_, ok := clusterClient(c)
	return ok
}

func clusterClient(c redis.UniversalClient) (*redis.ClusterClient, bool) {
	if own, ok := c.(*Client); ok {
		c = own.UniversalClient
	}
	cluster, ok := c.(*redis.ClusterClient)
	return cluster, ok
}

// NodeOf returns the address of the Cluster's primary that has the key, as far as the
// client knows, and "" if it does not know or there is one server only.
func NodeOf(ctx context.Context, c redis.UniversalClient, key string) string {
	cluster, ok := clusterClient(c)
	if !ok {
		return ""
	}
	node, err := cluster.MasterForKey(ctx, key)
	if err != nil {
		return ""
	}
	return node.Options().Addr
}

// Primaries returns a client of each primary of a Cluster, as far as the client knows
// them, in the order of their addresses, or the client of the one server. They end with c.
func Primaries(ctx context.Context, c redis.UniversalClient) []*redis.Client {
	if own, ok := c.(*Client); ok {
		c = own.UniversalClient
	}
	if one, ok := c.(*redis.Client); ok {
		return []*redis.Client{one}
	}
	cluster, ok := clusterClient(c)
	if !ok {
		return nil
	}
	var mu sync.Mutex
	var nodes []*redis.Client
	_ = cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error { // without an answer none is known
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, node)
		return nil
	})
	slices.SortFunc(nodes, func(a, b *redis.Client) int { return strings.Compare(a.Options().Addr, b.Options().Addr) })
	return nodes
}

// ContextBound returns a client on the same connections, for all but subscriptions,
// that waits on contexts, not only on its sockets, and does not retry by itself:
// callers and heartbeats do. Its read timeout is at least minTimeout. There is no
// such view of a Cluster client.
func ContextBound(c *redis.Client, minTimeout time.Duration) *redis.Client {
	original := c.Options()
	bound := c.WithTimeout(max(original.ReadTimeout, minTimeout))
	if o := bound.Options(); o != original {
		o.ContextTimeoutEnabled, o.MaxRetries = true, 0
	}
	return bound
}

// ReloadSlots has a Cluster client read the Cluster's slots again. It reports
// whether the client is one.
func ReloadSlots(ctx context.Context, c redis.UniversalClient) bool {
	cluster, ok := clusterClient(c)
	if ok {
		cluster.ReloadState(ctx)
	}
	return ok
}
