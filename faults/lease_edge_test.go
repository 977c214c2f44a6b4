package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

const (
	edgeService = "edge"
	edgeTTL     = 150 * time.Millisecond
	edgeBeat    = 60 * time.Millisecond
)

// lease is what Redis stores about an instance at one time of its clock.
type lease struct {
	now, expires int64 // µs; expires is 0 or less when no lease is there
	stamp        int64
}

// leaseOf asks Redis itself, in one step.
func leaseOf(ctx context.Context, c *redis.Client, namespace, id string) (lease, error) {
	base := "rollcall:" + namespace + ":{" + edgeService + "}"
	pipe := c.TxPipeline()
	now := pipe.Time(ctx)
	score := pipe.ZScore(ctx, base+":z", id)
	record := pipe.HGet(ctx, base+":h", "+"+id)
	if _, err := pipe.Exec(ctx); err != nil && err != redis.Nil {
		return lease{}, err
	}
	l := lease{now: now.Val().UnixMicro(), expires: int64(score.Val())}
	if fields := strings.SplitN(record.Val(), ",", 3); len(fields) == 3 {
		l.stamp, _ = strconv.ParseInt(fields[1], 10, 64)
	}
	return l, nil
}

// edgeReader reads one instance and compares with what Redis holds before and after.
type edgeReader struct {
	registry  *registry.RedisRegistry
	client    *redis.Client
	namespace string
	id        string

	there           bool
	gone, cameBack  int
	reads, verdicts int // of the reads some are not answered
}

// read fails if the answer never was, during the call, what Redis stored.
func (r *edgeReader) read(ctx context.Context) error {
	before, err := leaseOf(ctx, r.client, r.namespace, r.id)
	if err != nil {
		return err
	}
	r.reads++
	snap, err := r.registry.Snapshot(ctx, edgeService)
	if errors.Is(err, registry.ErrUnavailable) {
		return nil // says nothing of the instance
	}
	if err != nil {
		return err
	}
	after, err := leaseOf(ctx, r.client, r.namespace, r.id)
	if err != nil {
		return err
	}
	var stamp int64
	for _, s := range snap.Instances {
		if s.ID == r.id {
			stamp = s.RegisteredAt.UnixMicro()
		}
	}
	switch there := stamp != 0; {
	case there && !r.there:
		r.cameBack++
	case !there && r.there:
		r.gone++
	}
	r.there = stamp != 0
	// One lease spans the whole call, or none does; anything else proves nothing.
	same := before.expires == after.expires && before.stamp == after.stamp
	switch {
	case same && before.expires < before.now:
		r.verdicts++
		if stamp != 0 {
			return fmt.Errorf("shown %d µs past its expiry", before.now-before.expires)
		}
	case before.expires >= after.now && after.expires >= after.now:
		r.verdicts++
		if stamp == 0 {
			return fmt.Errorf("missing, although its lease ran for another %d µs", before.expires-after.now)
		}
		if before.stamp == after.stamp && stamp != before.stamp {
			return fmt.Errorf("shown as registered at %d, Redis has %d", stamp, before.stamp)
		}
	}
	return nil
}

// Readers that get the answer "unchanged" race with expiries, late renewals and
// takeovers by a second owner. What they show was true at one time of
// the call by Redis's clock: never an instance past its expiry, never one
// missing whose lease runs.
//
// Promises 2, 3, 5 and 6.
func TestReadsAtTheEdgeOfTheLease(t *testing.T) {
	t.Parallel()
	const instances, lasting = 4, 8 * time.Second
	server := redistest.Start(t)
	namespace := "edge"
	config := func(addr string) registry.RedisRegistryConfig {
		return registry.RedisRegistryConfig{RedisAddr: addr, TTL: edgeTTL, HeartbeatInterval: edgeBeat,
			Namespace: namespace, Logger: slog.New(slog.DiscardHandler)}
	}
	client := server.Client(t)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	defer func() { cancel(); all.Wait() }()

	// Each owner's connection is held at times for about as long as its lease.
	var takeovers atomic.Int64
	for i := range instances {
		id := fmt.Sprint("i", i)
		line := faultnet.New(t, server.Addr())
		first, second := open(t, config(line.Addr())), open(t, config(server.Addr()))
		if err := first.Register(ctx, service(edgeService, id)); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				pauseUnlessDone(ctx, edgeBeat+rand.N(edgeTTL))
				line.Hold(faultnet.ToServer)
				pauseUnlessDone(ctx, edgeTTL-edgeBeat+rand.N(2*edgeBeat))
				line.Heal()
				if round%4 != 3 {
					continue
				}
				owner := second
				if round%8 == 7 {
					owner = first
				}
				s := service(edgeService, id)
				s.Version = fmt.Sprint(round)
				if owner.Register(ctx, s) == nil {
					takeovers.Add(1)
				}
			}
		})
	}

	watching := open(t, config(server.Addr()))
	all.Go(func() {
		for range watching.Watch(ctx, edgeService) {
		}
	})
	var readers []*edgeReader
	for i := range instances {
		for _, reg := range []*registry.RedisRegistry{open(t, config(server.Addr())), watching} {
			readers = append(readers, &edgeReader{registry: reg, client: client, namespace: namespace, id: fmt.Sprint("i", i)})
		}
	}
	var reading sync.WaitGroup
	end := time.Now().Add(lasting)
	for _, r := range readers {
		reading.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
				if err := r.read(ctx); err != nil {
					t.Errorf("%s: %v", r.id, err)
				}
			}
		})
	}
	reading.Wait()
	var reads, verdicts, gone, cameBack int
	for _, r := range readers {
		reads, verdicts = reads+r.reads, verdicts+r.verdicts
		gone, cameBack = gone+r.gone, cameBack+r.cameBack
	}
	t.Logf("count: %d reads, of which %d prove something; %d saw an expiry, %d a return; %d takeovers",
		reads, verdicts, gone, cameBack, takeovers.Load())
	if gone < 10 || cameBack < 10 || verdicts < reads/2 || takeovers.Load() < instances {
		t.Error("the race did not reach the edge often enough to show anything")
	}
}

func pauseUnlessDone(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
