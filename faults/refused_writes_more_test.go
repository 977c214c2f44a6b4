package faults

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/balance"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// One node of a Cluster refuses writes for three TTLs: its services are retained and
// marked Stale, those of other nodes are not affected, and the list of services is
// complete.
//
// Promise 7: no false empty.
func TestRefusedWritesOfOneClusterNode(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, 0)
	cfg := clusterConfig(t, cluster)
	owner, reader, looker := open(t, cfg), open(t, cfg), open(t, cfg)
	key := func(name string) string { return "rollcall:" + cfg.Namespace + ":{" + name + "}:h" }
	node := cluster.NodeOf(key("web"))
	other := ""
	for i := 0; other == ""; i++ {
		if name := fmt.Sprint("svc", i); cluster.NodeOf(key(name)) != node {
			other = name
		}
	}
	register(t, owner, "web", "a1", "a2")
	register(t, owner, other, "b1")
	want := present(t, reader, "web")
	seen, steady, names := watch(t, reader, "web"), watch(t, reader, other), watchNames(t, reader)
	all := []string{other, "web"}
	slices.Sort(all)
	within(t, time.Now(), backBy, "both names", namesAre(reader, names, all...))
	seen.await(t, time.Now(), backBy, "the start", is(want))
	steady.await(t, time.Now(), backBy, "the start", with("b1"))
	began := time.Now()
	node.ConfigSet("min-replicas-to-write", "1")
	for until := began.Add(3 * shortTTL); time.Now().Before(until); pause(t, 50*time.Millisecond, "between reads") {
		for _, r := range []*registry.RedisRegistry{reader, looker} {
			if list, err := r.Discover(contextFor(t, slack), "web"); err == nil && len(list) != 2 || err != nil && !errors.Is(err, registry.ErrUnavailable) {
				t.Fatalf("Discover on the node that refuses writes: %s, %v", describeInstances(list), err)
			}
			if list, err := r.Services(contextFor(t, slack)); err == nil && len(list) != 2 {
				t.Fatalf("Services shows %q", list)
			}
		}
	}
	if s := seen.last(); s.Stale == nil || !strings.Contains(s.Stale.Error(), "NOREPLICAS") {
		t.Errorf("the watch is stale for %v, want NOREPLICAS", s.Stale)
	}
	if err := steady.shows("b1")(); err != nil {
		t.Error(err)
	}
	register(t, owner, other, "b2")
	within(t, time.Now(), backBy, "a change on another node", steady.shows("b1", "b2"))
	node.ConfigSet("min-replicas-to-write", "0")
	ended := time.Now()
	figure(t, "writes refused (a node of a Cluster): all back", within(t, ended, backBy, "all in Discover", discoversExactly(reader, "web", want)))
	seen.await(t, ended, backBy, "a current state", is(want))
	within(t, ended, backBy+slack, "the list of services", namesAre(reader, names, all...))
	seen.requireKept(t, began, "a1", "a2")
	names.requireKept(t, "web")
	names.requireKept(t, other)
}

// Redis restarts empty and without its replica: it refuses the registrations of
// all owners. No instance is dropped, and all come back once the replica is connected.
//
// Promise 7: no false empty.
func TestRefusedWritesAfterALoss(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	owner, reader := openShort(t, server), openShort(t, server)
	register(t, owner, "web", "a1", "a2")
	want := present(t, reader, "web")
	seen := watch(t, reader, "web")
	seen.await(t, time.Now(), backBy, "the start", is(want))
	began := time.Now()
	command(t, server.Client(t), "FLUSHALL")
	server.ConfigSet("min-replicas-to-write", "1")
	pause(t, 3*shortTTL, "leases end while writes are refused")
	if s := seen.last(); s.Stale == nil {
		t.Error("the watch is not stale")
	}
	server.ConfigSet("min-replicas-to-write", "0")
	ended := time.Now()
	figure(t, "writes refused after FLUSHALL: all back", within(t, ended, backBy, "all in Discover", discoversExactly(reader, "web", want)))
	seen.await(t, ended, backBy, "a current state", is(want))
	seen.requireKept(t, began, "a1", "a2")
}

// An owner dies while writes are refused: it is gone within the greater of its
// TTL and its heartbeat + 1 s once they are accepted (promise 2), while the other stays.
func TestRefusedWritesAndADeadOwner(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	doomed, owner, reader := openShort(t, server), openShort(t, server), openShort(t, server)
	register(t, doomed, "web", "dies")
	register(t, owner, "web", "lives")
	seen := watch(t, reader, "web")
	seen.await(t, time.Now(), backBy, "the start", with("dies", "lives"))
	began := time.Now()
	server.ConfigSet("min-replicas-to-write", "1")
	doomed.Close()
	pause(t, 2*shortTTL, "leases end while writes are refused")
	seen.requireKept(t, began, "dies", "lives")
	server.ConfigSet("min-replicas-to-write", "0")
	ended := time.Now()
	figure(t, "writes refused, owner died: gone from Discover", within(t, ended, retainedFor, "it is gone from Discover", discovers(reader, "web", "lives")))
	figure(t, "writes refused, owner died: gone from a watch", within(t, ended, retainedFor+slack/2, "it is gone from the watch", seen.shows("lives")))
	seen.requireKept(t, began, "lives")
}

// A user without the right to write reads and watches. It sees a crash when a later
// write of another process shows it, or once the owner had the same time to renew.
//
// Promise 7: no false empty.
func TestReadingWithoutTheRightToWrite(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithACLFile("user app on >secret ~rollcall:* &rollcall:* -@all +eval +evalsha "+
		"+hget +hmget +hgetall +zscore +zrange +zrangebyscore +zrevrangebyscore +time +subscribe +unsubscribe +ping"))
	owner, steady := openShort(t, server), openShort(t, server)
	register(t, owner, "web", "x")
	register(t, owner, "api", "y")
	register(t, steady, "api", "z")
	reader := openShort(t, server, func(cfg *registry.RedisRegistryConfig) { cfg.Username, cfg.Password = "app", "secret" })
	seen, names := watch(t, reader, "web"), watchNames(t, reader)
	within(t, time.Now(), backBy, "all that is registered", func() error {
		return errors.Join(seen.shows("x")(), discovers(reader, "api", "y", "z")(), namesAre(reader, names, "api", "web")())
	})
	// A call that has nothing to write shows no right to.
	if err := reader.Deregister(contextFor(t, slack), "unknown"); err != nil {
		t.Errorf("Deregister of what does not exist: %v", err)
	}
	pause(t, 2*shortTTL, "leases would end")
	if err := errors.Join(seen.shows("x")(), discovers(reader, "web", "x")()); err != nil {
		t.Fatalf("heartbeats arrive: %v", err)
	}
	owner.Close()
	died := time.Now()
	figure(t, "no right to write: crash seen, beside a live instance", within(t, died, goneBy, "y is gone", discovers(reader, "api", "z")))
	figure(t, "no right to write: crash of the last instance seen", within(t, died, 2*shortTTL+slack, "x is gone", func() error {
		return errors.Join(discovers(reader, "web")(), seen.shows()())
	}))
	if err := reader.Register(contextFor(t, slack), service("web", "mine")); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("Register without the right: %v", err)
	}
}

// Requests succeed through balance's transport while the disk of Redis is full.
//
// Promise 7: no false empty.
func TestRefusedWritesStopNoTraffic(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithArgs("--enable-protected-configs", "yes"))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })}
	serving := make(chan struct{})
	go func() { defer close(serving); _ = backend.Serve(listener) }()
	t.Cleanup(func() { _ = backend.Close(); <-serving })
	owner, reader := openShort(t, server), openShort(t, server)
	if err := owner.Register(t.Context(), registry.ServiceInfo{ID: "x", Name: "web", Address: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port}); err != nil {
		t.Fatal(err)
	}
	transport, err := balance.NewTransport(reader, balance.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = transport.Close() })
	client := &http.Client{Transport: transport}
	get := func() error {
		answer, err := client.Get("http://web/")
		if err != nil {
			return err
		}
		return answer.Body.Close()
	}
	within(t, time.Now(), backBy, "a first answer", get)
	end := diskFull(t, server, server.Client(t))
	for until := time.Now().Add(3 * shortTTL); time.Now().Before(until); pause(t, 20*time.Millisecond, "between requests") {
		if err := get(); err != nil {
			t.Fatal(err)
		}
	}
	end()
}
