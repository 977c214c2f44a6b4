package redistest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestReplicaFollows(t *testing.T) {
	t.Parallel()
	primary := Start(t, WithPassword("secret"))
	replica := NewReplica(t, primary)
	set(t, primary, "key")
	if err := within(5*time.Second, func(ctx context.Context) error {
		return replica.Client(t).Get(ctx, "key").Err()
	}); err != nil {
		t.Fatal(err)
	}
}

func TestSentinelsFailOver(t *testing.T) {
	t.Parallel()
	g := StartSentinels(t)
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: g.MasterName(), SentinelAddrs: g.SentinelAddrs()})
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	old := g.Primary()
	if old != g.Servers[0] {
		t.Fatalf("the primary is %s, not %s", old.Addr(), g.Servers[0].Addr())
	}
	old.Kill()
	now := g.WaitFailover(old)
	if now == old || g.Primary() != now {
		t.Fatalf("the primary is %s after %s, and %s", now.Addr(), old.Addr(), g.Primary().Addr())
	}
	old.Restart()
	g.WaitDemoted(old)
}

func TestClusterServesAndFailsOver(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3, 3)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()})
	defer client.Close()
	for i := range 50 {
		if err := client.Set(t.Context(), fmt.Sprint("key", i), "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	old := c.KillPrimaryOf("key1")
	now := c.NodeOf("key1")
	if now == old {
		t.Fatal("a killed node still serves")
	}
	c.WaitOK()
	old.Restart()
	c.WaitOK()
	if err := within(5*time.Second, func(ctx context.Context) error {
		return client.Set(ctx, "key1", "value", 0).Err()
	}); err != nil {
		t.Fatal(err)
	}
}

func TestClusterMovesASlot(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 2, 0)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()})
	defer client.Close()
	for i := range 3 {
		if err := client.Set(t.Context(), fmt.Sprintf("{tag}%d", i), "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	slot, from := c.Slot("{tag}"), c.NodeOf("{tag}")
	to := c.Nodes[0]
	if to == from {
		to = c.Nodes[1]
	}
	move := c.BeginMove(slot, from, to)
	if n := move.MoveKeys(1); n != 1 {
		t.Fatalf("moved %d keys", n)
	}
	// Migrating: a command on a moved and an unmoved key gets TRYAGAIN.
	err := client.MGet(t.Context(), "{tag}0", "{tag}1", "{tag}2").Err()
	if !redis.HasErrorPrefix(err, "TRYAGAIN") {
		t.Fatalf("reading across a moving slot gave %v", err)
	}
	if got := c.NodeOf("{tag}"); got != from {
		t.Fatal("the slot changed hands before the move was finished")
	}
	move.Finish()
	if got := c.NodeOf("{tag}"); got != to {
		t.Fatalf("the slot is at %s, not %s", got.Addr(), to.Addr())
	}
	values, err := client.MGet(t.Context(), "{tag}0", "{tag}1", "{tag}2").Result()
	if err != nil || len(values) != 3 || values[0] != "value" {
		t.Fatalf("after the move: %v %v", values, err)
	}
	c.MigrateSlot(slot, to, from)
	if got := c.NodeOf("{tag}"); got != from {
		t.Fatal("the slot did not move back")
	}
}
