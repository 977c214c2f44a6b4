package redisstore_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisstore"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// A user with only the rights of the documented rule can use the whole API.
func TestACLRuleIsEnough(t *testing.T) {
	server := redistest.Start(t, redistest.WithACLFile("user app on >secret "+redisstore.ACLRule))
	live(t, registry.RedisRegistryConfig{RedisAddr: server.Addr(), Username: "app", Password: "secret"})
	denied(t, server.Client(t), "the server")
}

func TestACLRuleIsEnoughBehindAShardProxy(t *testing.T) {
	server := redistest.Start(t, redistest.WithShardProxy(), redistest.WithACLFile("user app on >secret "+redisstore.ACLRule))
	live(t, registry.RedisRegistryConfig{RedisAddr: server.Addr(), Username: "app", Password: "secret"})
	denied(t, server.Client(t), "the server")
}

func TestACLRuleIsEnoughOnACluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0, redistest.WithACLFile("user app on >secret "+redisstore.ACLRule+" "+redisstore.ACLClusterRule))
	live(t, registry.RedisRegistryConfig{Addrs: cluster.Addrs(), Username: "app", Password: "secret"})
	for _, n := range cluster.Nodes {
		denied(t, n.Client(t), n.Addr())
	}
}

// denied reports what the server refused the user. That must be nothing: even a refusal
// without consequences would fill the server's log.
func denied(t *testing.T, admin *redis.Client, server string) {
	t.Helper()
	log, err := admin.Do(t.Context(), "ACL", "LOG").Slice()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range log {
		t.Errorf("%s refused the user something: %v", server, entry)
	}
}

// live uses all of the public API.
func live(t *testing.T, cfg registry.RedisRegistryConfig) {
	cfg.TTL, cfg.HeartbeatInterval, cfg.Logger = time.Second, 100*time.Millisecond, slog.New(slog.DiscardHandler)
	heartbeats := make(chan error, 1000)
	cfg.Observer = &registry.Observer{Heartbeat: func(_ int, _ time.Duration, err error) {
		select {
		case heartbeats <- err:
		default:
		}
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	try := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	owner, err := registry.NewRedisRegistry(ctx, cfg)
	try("open", err)
	defer owner.Close()
	operator, err := registry.NewRedisRegistry(ctx, cfg)
	try("open another", err)
	defer operator.Close()

	states := make(chan registry.Snapshot)
	go func() {
		defer close(states)
		for s := range operator.Watch(ctx, "s") {
			states <- s
		}
	}()
	until := func(what string, ok func(registry.Snapshot) bool) {
		t.Helper()
		for s := range states {
			if s.Stale != nil {
				t.Fatalf("the watch is stale: %v", s.Stale)
			}
			if ok(s) {
				return
			}
		}
		t.Fatalf("the watch never showed %s", what)
	}
	until("nothing", func(s registry.Snapshot) bool { return len(s.Instances) == 0 })
	for i := range 3 {
		try("register", owner.Register(ctx, registry.ServiceInfo{ID: fmt.Sprint("i", i), Name: "s", Address: "10.0.0.1", Port: 80 + i}))
	}
	try("register an ID of ours", owner.Register(ctx, registry.ServiceInfo{Name: "s", Address: "10.0.0.1", Port: 99}))
	until("four", func(s registry.Snapshot) bool { return len(s.Instances) == 4 })
	for range 3 {
		select {
		case err := <-heartbeats:
			if err != nil {
				t.Fatalf("heartbeat: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no heartbeat within 20 s")
		}
	}
	found, err := operator.Discover(ctx, "s")
	try("discover", err)
	again, err := operator.Discover(ctx, "s")
	try("discover again", err)
	instances, err := operator.Instances(ctx, "s")
	try("instances", err)
	if len(found) != 4 || len(again) != 4 || len(instances) != 4 {
		t.Errorf("%d, %d and %d instances of 4", len(found), len(again), len(instances))
	}
	try("move", owner.Register(ctx, registry.ServiceInfo{ID: "i2", Name: "t", Address: "10.0.0.1", Port: 82}))
	names, err := operator.Services(ctx)
	try("services", err)
	if !slices.Equal(names, []string{"s", "t"}) {
		t.Errorf("services %v", names)
	}
	for c := range operator.WatchServices(ctx) {
		if c.Stale != nil || len(c.Names) != 2 {
			t.Errorf("the watch of services shows %+v", c)
		}
		break
	}
	try("set a status", operator.SetStatus(ctx, "i0", registry.StatusCritical, "no answer"))
	until("it", func(s registry.Snapshot) bool { return len(s.Others) == 1 })
	drained := make(chan error, 1)
	go func() { drained <- operator.Drain(ctx, "i1") }()
	until("the drain", func(s registry.Snapshot) bool { return len(s.Others) == 2 })
	go func() {
		for range states { // taking a state is asking for the next
		}
	}()
	try("drain", <-drained)
	try("undrain", operator.Undrain(ctx, "i1"))
	try("deregister by ID", operator.Deregister(ctx, "i0"))
	try("deregister", owner.Deregister(ctx, "i1"))
	if left, err := owner.Discover(ctx, "s"); err != nil || len(left) != 1 || strings.HasPrefix(left[0].ID, "i") {
		t.Errorf("%+v, %v are left", left, err)
	}
	cancel()
	try("close", owner.Close())
	try("close", operator.Close())
}

func TestTheDocumentedRuleIsTheTestedOne(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(doc), "<!-- acl: begin -->\n```\n")
	block, _, _ = strings.Cut(block, "```")
	want := "user rollcall on >PASSWORD " + redisstore.ACLRule
	if got := strings.Join(strings.Fields(block), " "); got != want {
		t.Errorf("docs/operating.md has\n%s\nand the test uses\n%s", got, want)
	}
	if cluster := strings.ReplaceAll(redisstore.ACLClusterRule, "|", `\|`); !strings.Contains(string(doc), "`"+cluster+"`") {
		t.Errorf("docs/operating.md lacks %q", cluster)
	}
}
