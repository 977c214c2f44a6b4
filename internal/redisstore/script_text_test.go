package redisstore

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// A server that has lost its scripts is sent the text of each once, not with each of
// the calls of a heartbeat.
func TestEachScriptTextIsSentOncePerServer(t *testing.T) {
	const services = 300
	var leases []store.ServiceLeases
	for i := range services {
		leases = append(leases, store.ServiceLeases{Service: fmt.Sprint("web-", i), TTL: testTTL, Leases: []store.Lease{{ID: "x", RegisteredAt: 1}}})
	}
	renewAll := func(t *testing.T, s *Store) {
		t.Helper()
		for i, r := range s.Renew(t.Context(), leases) {
			if r.Err != nil {
				t.Fatalf("renewing in %s: %v", leases[i].Service, r.Err)
			}
		}
	}
	check := func(t *testing.T, s *Store, nodes ...*redis.Client) {
		t.Helper()
		renewAll(t, s) // the connections are made
		known := received(t, nodes)
		renewAll(t, s)
		known = received(t, nodes) - known
		for _, node := range nodes {
			if err := node.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		unknown := received(t, nodes)
		renewAll(t, s)
		unknown = received(t, nodes) - unknown
		// The calls go out twice, and some other commands meanwhile.
		if most := 2*known + (len(nodes)+1)*len(renewScript.text); unknown > most {
			t.Errorf("%d calls that the servers know take %d bytes, and without the script %d: more than %d", services, known, unknown, most)
		}
	}
	t.Run("one server", func(t *testing.T) {
		r := newHarness(t)
		check(t, r.store, r.admin)
	})
	t.Run("Cluster", func(t *testing.T) {
		cluster := redistest.StartCluster(t, 3, 0)
		s := openTest(t, redisclient.Config{Addrs: cluster.Addrs()}, "test", "alpha")
		defer s.Close()
		var nodes []*redis.Client
		for _, addr := range cluster.Addrs() {
			node := redis.NewClient(&redis.Options{Addr: addr})
			defer node.Close()
			nodes = append(nodes, node)
		}
		check(t, s, nodes...)
	})
}

// received is how many bytes the servers have received from clients.
func received(t *testing.T, servers []*redis.Client) (total int) {
	t.Helper()
	for _, server := range servers {
		info, err := server.Info(t.Context(), "stats").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(info, "total_net_input_bytes:")
		line, _, _ := strings.Cut(rest, "\r\n")
		n, err := strconv.Atoi(line)
		if err != nil {
			t.Fatalf("total_net_input_bytes: %v", err)
		}
		total += n
	}
	return total
}
