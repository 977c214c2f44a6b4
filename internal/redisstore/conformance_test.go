package redisstore

import (
	"fmt"
	"log/slog"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/store"
	"github.com/rollcall-sd/rollcall/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	server := redistest.Start(t)
	runConformance(t, redisclient.Config{Addr: server.Addr()}, openTest, true, server)
}

// Some servers hand scores to scripts as numbers instead of texts.
func TestConformanceWithScoresAsNumbers(t *testing.T) {
	server := redistest.Start(t)
	runConformance(t, redisclient.Config{Addr: server.Addr()}, openWithNumericScores, true, server)
}

func TestConformanceWithScoresAsNumbersOnCluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	runConformance(t, redisclient.Config{Addrs: cluster.Addrs()}, openWithNumericScores, false, cluster.Nodes...)
}

// On a Cluster the same holds, except that changes to several services are not one step.
func TestConformanceOnCluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	runConformance(t, redisclient.Config{Addrs: cluster.Addrs()}, openTest, false, cluster.Nodes...)
}

// Behind a proxy that shards the data the same holds as on a Cluster.
func TestConformanceBehindAShardProxy(t *testing.T) {
	server := redistest.Start(t, redistest.WithShardProxy())
	runConformance(t, redisclient.Config{Addr: server.Addr()}, openTest, false, server)
	for word, n := range server.ShardProxy().Refused() {
		// Each Open sends one script over two slots, and each script is sent by its hash first.
		if word != "CROSSSLOT" && word != "NOSCRIPT" {
			t.Errorf("the proxy refused %d requests with %s", n, word)
		}
	}
}

// openFunc opens a store with a client of its own, which the caller closes.
type openFunc func(t *testing.T, cfg redisclient.Config, namespace, owner string) *Store

func runConformance(t *testing.T, cfg redisclient.Config, open openFunc, atomic bool, servers ...*redistest.Server) {
	n := 0
	storetest.Run(t, storetest.Harness{
		New: func(t *testing.T) storetest.Backend {
			n++
			namespace := fmt.Sprint("conformance", n)
			admin := mustDial(t, cfg)
			return storetest.Backend{
				Open:   func(owner string) store.Store { return open(t, cfg, namespace, owner) },
				Expire: func(service string, ids ...string) { expire(t, admin, newKeyspace(namespace), service, ids...) },
				RefuseWrites: func() (accept func()) {
					set := func(replicas string) {
						for _, s := range servers {
							s.ConfigSet("min-replicas-to-write", replicas)
						}
					}
					set("1")
					return func() { set("0") }
				},
			}
		},
		Leases: true, SharedBackend: true, Deltas: true, Atomic: atomic, RefusesWrites: true, Events: true,
	})
}

// openTest opens a store with a client of its own, which the caller closes.
func openTest(t *testing.T, cfg redisclient.Config, namespace, owner string) *Store {
	t.Helper()
	client, err := redisclient.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, client, namespace, owner)
}

// openOn opens a store that closes the client.
func openOn(t *testing.T, client *redisclient.Client, namespace, owner string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Client: client, CloseClient: client.Close, Namespace: namespace, Owner: owner, Name: storetest.NameOf(owner), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		_ = client.Close()
		t.Fatal(err)
	}
	return s
}

// expire sets leases to have just ended.
func expire(t *testing.T, admin redis.UniversalClient, keys keyspace, service string, ids ...string) {
	t.Helper()
	key := keys.leases(service)
	if service == store.Catalog {
		key = keys.catalog
	}
	// The time of the node that has the key.
	now, err := admin.Eval(t.Context(), `local t = redis.call('TIME') return string.format('%.0f', t[1] * 1000000 + t[2])`, []string{key}).Text()
	if err != nil {
		t.Fatal(err)
	}
	micros, err := strconv.ParseInt(now, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if score, err := admin.ZScore(t.Context(), key, id).Result(); err == redis.Nil || score < 0 {
			continue // it does not live
		}
		if err := admin.ZAdd(t.Context(), key, redis.Z{Score: float64(micros - 1), Member: id}).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
