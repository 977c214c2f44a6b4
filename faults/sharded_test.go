package faults

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// The main faults, behind a proxy that answers one address for a server that shards its
// data: it refuses scripts over two slots, and keys that a script does not declare.
//
// Promise 12, runs where Redis is sharded behind one address.
func TestRunsBehindAShardProxy(t *testing.T) {
	t.Parallel()
	scenarios := map[string]func(*testing.T, ...redistest.Option){
		"restarted empty":                 testComesBackAfterRedisRestartedEmpty,
		"restarted from its file":         testRedisRestartedFromItsAppendOnlyFile,
		"FLUSHALL":                        testNoFalseEmptyAfterFlushAll,
		"SCRIPT FLUSH":                    testScriptFlush,
		"frozen past the TTL":             testRedisFrozenPastTheTTL,
		"owner killed":                    testGoneAfterACrashWithoutWrites,
		"connections cut by the server":   testServerCutsConnections,
		"connections cut again and again": testAllConnectionsCutAgainAndAgain,
		"newest owner wins":               testNewestOwnerWins,
		"deregistered by ID":              testOperatorDeregistersByID,
		"memory lost while a drain waits": testMemoryLossWhileADrainWaits,
		"restarted while a drain waits":   testRestartEmptyWhileADrainWaits,
		"an ID moves, and two own one":    testIDsBehindAShardProxy,
	}
	for _, r := range refusals {
		scenarios["writes refused, "+r.name] = func(t *testing.T, opts ...redistest.Option) { testRefused(t, r, opts...) }
	}
	for name, scenario := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t, redistest.WithShardProxy())
		})
	}
}

// testIDsBehindAShardProxy moves an ID between services, as on a Cluster.
func testIDsBehindAShardProxy(t *testing.T, opts ...redistest.Option) {
	server := redistest.Start(t, opts...)
	a, b, reader := openShort(t, server), openShort(t, server), openShort(t, server)
	catalog := watchNames(t, reader)
	for _, id := range []string{"mover", "6f3c2c52-33a5-4c0f-8a28-0d2f6a7c1e11"} {
		for n, to := range []*registry.RedisRegistry{a, b, a} {
			for _, name := range []string{"east", "west"} {
				never := lookOn(t, reader, id, "east", "west")
				register(t, to, name, id)
				if neither := never(); neither != "" && (n > 0 || name != "east") {
					t.Errorf("%q moved to %q: %s", id, name, neither)
				}
			}
			within(t, time.Now(), backBy, "the ID is in one service", func() error {
				if err := discovers(reader, "east")(); err != nil {
					return err
				}
				return discovers(reader, "west", id)()
			})
		}
		within(t, time.Now(), backBy, "the list of services", namesAre(reader, catalog, "west"))
		must(t, reader.Deregister(t.Context(), id))
		throughout(t, time.Now().Add(shortTTL), "it stays gone", isGone(reader, "west", id))
	}
	earlier := join(t, a, "web", "contested")
	at := time.Now()
	later := join(t, b, "mail", "contested")
	lostWithin(t, earlier, at, backBy, registry.ErrSuperseded, "an earlier owner reports its loss")
	notLost(t, later)
	requireReason(t, reader, "web", "contested", reason{kind: registry.EventMoved, by: pidOf(ownPID), note: "mail"})
}

// Requests of each call behind a proxy that shards, one after the other where they depend
// on each other.
//
// Promise 9, few round trips.
func TestRoundTripsBehindAShardProxy(t *testing.T) {
	t.Parallel()
	const instances, delay = 100, 40 * time.Millisecond
	server := redistest.Start(t, redistest.WithShardProxy())
	line := faultnet.New(t, server.Addr())
	writer := openShort(t, server, quiet)
	warmUp(t, writer)
	registerMany(t, writer, "web", instances)
	line.Delay(faultnet.ToServer, delay)
	// A connection that is made adds round trips of its own.
	r := openShort(t, server, throughAddr(line.Addr()), quiet)
	registerMany(t, r, "warm", 20)
	must(t, r.SetStatus(t.Context(), present(t, r, "warm")[0].ID, registry.StatusWarning, ""))

	trips := func(what string, most int, call func() error) {
		t.Helper()
		line.Reset()
		began := time.Now()
		if err := call(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		took := time.Since(began)
		got := line.RoundTrips()
		if got > most {
			t.Errorf("%s took %d requests, want at most %d: %v", what, got, most, line.Commands())
		}
		t.Logf("count: sharded: %s: %d requests, %.1f round trips long", what, got, took.Seconds()/delay.Seconds())
	}
	discover := func() error { _, err := r.Discover(t.Context(), "web"); return err }
	trips("first Discover", 1, discover)
	trips("Discover when nothing changed", 1, discover)
	trips("Register with a generated ID", 2, func() error {
		return r.Register(t.Context(), registry.ServiceInfo{Name: "web", Address: "127.0.0.1", Port: 80})
	})
	trips("Register with a chosen ID", 5, func() error { return r.Register(t.Context(), service("web", "own")) })
	trips("Discover after a change", 1, discover)
	trips("Register again, the same", 5, func() error { return r.Register(t.Context(), service("web", "own")) })
	trips("Register under another name", 6, func() error { return r.Register(t.Context(), service("db", "own")) })
	trips("Deregister own", 1, func() error { return r.Deregister(t.Context(), "own") })
	register(t, writer, "web", "foreign")
	trips("Deregister by ID alone", 3, func() error { return r.Deregister(t.Context(), "foreign") })
	register(t, r, "web", "own")
	trips("SetStatus", 3, func() error { return r.SetStatus(t.Context(), "own", registry.StatusWarning, "") })
	trips("Services", 3, func() error { _, err := r.Services(t.Context()); return err })
}
