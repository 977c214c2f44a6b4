// Package naive is service discovery on Redis as one writes it on the first
// day: a key per instance and a set of ids per service. It is what the library
// is measured against, so it is written as well as this design can be: one
// pooled client, no work beyond what is asked, errors passed on.
package naive

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/registry"
)

// Registry keeps instances on a client, which stays the caller's.
type Registry struct {
	Client *redis.Client
	TTL    time.Duration
}

func set(service string) string           { return "naive:" + service }
func key(service, instance string) string { return "naive:" + service + ":" + instance }

// Register takes three round trips: SET, SADD and EXPIRE.
func (r *Registry) Register(ctx context.Context, s registry.ServiceInfo) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := r.Client.Set(ctx, key(s.Name, s.ID), data, r.TTL).Err(); err != nil {
		return err
	}
	if err := r.Client.SAdd(ctx, set(s.Name), s.ID).Err(); err != nil {
		return err
	}
	return r.Client.Expire(ctx, set(s.Name), r.TTL).Err()
}

// Deregister takes two round trips.
func (r *Registry) Deregister(ctx context.Context, service, id string) error {
	if err := r.Client.Del(ctx, key(service, id)).Err(); err != nil {
		return err
	}
	return r.Client.SRem(ctx, set(service), id).Err()
}

// Discover takes one round trip for the ids and one for each of them.
func (r *Registry) Discover(ctx context.Context, service string) ([]registry.ServiceInfo, error) {
	ids, err := r.Client.SMembers(ctx, set(service)).Result()
	if err != nil {
		return nil, err
	}
	out := make([]registry.ServiceInfo, 0, len(ids))
	for _, id := range ids {
		data, err := r.Client.Get(ctx, key(service, id)).Bytes()
		if errors.Is(err, redis.Nil) {
			continue // it expired
		}
		if err != nil {
			return nil, err
		}
		var s registry.ServiceInfo
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Heartbeats keeps instances alive with a goroutine each, which extends both
// keys once per beat, until stop is called. The first beats are spread evenly.
func (r *Registry) Heartbeats(instances []registry.ServiceInfo, beat time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i, s := range instances {
		first := beat * time.Duration(i) / time.Duration(len(instances))
		wg.Go(func() {
			select {
			case <-time.After(first):
			case <-ctx.Done():
				return
			}
			t := time.NewTicker(beat)
			defer t.Stop()
			for {
				r.Client.Expire(ctx, key(s.Name, s.ID), r.TTL)
				r.Client.Expire(ctx, set(s.Name), r.TTL)
				select {
				case <-t.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}
