package redisstore

import (
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// CheckClient reports why a client that a caller handed in cannot carry a
// registry: scripts need one primary for each key. A failover client with
// ReplicaOnly cannot be told apart here; its first write fails with READONLY.
func CheckClient(c redis.UniversalClient) error {
	switch c := c.(type) {
	case *Client:
		if c == nil {
			return errors.New("it is a nil *Client")
		}
		return CheckClient(c.UniversalClient)
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
	if own, ok := c.(*Client); ok {
		c = own.UniversalClient
	}
	_, ok := c.(*redis.ClusterClient)
	return ok
}

// impatient returns a client on the same connections, for all but subscriptions,
// that waits on contexts, not only on its sockets, and does not try again by
// itself: callers and heartbeats do. A Cluster client cannot be had so.
func impatient(c *redis.Client) *redis.Client {
	theirs := c.Options()
	own := c.WithTimeout(max(theirs.ReadTimeout, requestTimeout))
	if o := own.Options(); o != theirs {
		o.ContextTimeoutEnabled, o.MaxRetries = true, 0
	}
	return own
}
