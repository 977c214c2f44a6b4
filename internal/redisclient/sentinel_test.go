package redisclient

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
)

// failOver makes the Sentinels promote a replica while the old primary still
// runs, so that nothing but their word tells a client.
func failOver(t *testing.T, group *redistest.Sentinels) (now *redistest.Server) {
	t.Helper()
	old := group.Primary()
	c := redis.NewSentinelClient(&redis.Options{Addr: group.SentinelAddrs()[0], Protocol: 2})
	defer c.Close()
	if err := c.Failover(t.Context(), group.MasterName()).Err(); err != nil {
		t.Fatal(err)
	}
	return group.WaitFailover(old)
}

func TestSentinelFailover(t *testing.T) {
	group := redistest.StartSentinels(t)
	defer verifyNoLeaks(t, goleak.IgnoreCurrent())
	c, err := Dial(Config{
		Addrs:      []string{freeAddr(t), startSilentServer(t), group.SentinelAddrs()[0]},
		MasterName: group.MasterName(),
		timeouts:   patient,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	requireWithin(t, began, defaultTimeouts.dial, "a call past a Sentinel that is down and one that is mute")
	if moved, err := c.CheckPrimary(t.Context()); moved || err != nil {
		t.Errorf("CheckPrimary = %v, %v", moved, err)
	}

	now := failOver(t, group)
	if _, err := c.CheckPrimary(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(t.Context(), "k", "new", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if got := now.Client(t).Get(t.Context(), "k").Val(); got != "new" {
		t.Errorf("the new primary holds %q", got)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// An idle subscription leaves the old primary by the Sentinels' word alone.
func TestSentinelFailoverMovesSubscription(t *testing.T) {
	group := redistest.StartSentinels(t)
	c := mustDial(t, Config{Addrs: group.SentinelAddrs(), MasterName: group.MasterName()})
	ctx, cancel := context.WithTimeout(t.Context(), waittest.Limit)
	defer cancel()
	sub := c.Subscribe(ctx, "news")
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	now := failOver(t, group)
	if _, err := sub.Receive(ctx); err == nil || ctx.Err() != nil {
		t.Fatalf("the subscription stayed on the old primary: %v", err)
	}
	for {
		message, err := sub.Receive(ctx)
		if ctx.Err() != nil {
			t.Fatal("the subscription did not come back")
		}
		if _, ok := message.(*redis.Subscription); err == nil && ok {
			break
		}
	}
	if n := now.Client(t).Publish(ctx, "news", "x").Val(); n != 1 {
		t.Errorf("%d subscribers on the new primary", n)
	}
}

func TestSentinelsNotConfiguredAreFound(t *testing.T) {
	group := redistest.StartSentinels(t)
	c := mustDial(t, Config{Addrs: group.SentinelAddrs()[:1], MasterName: group.MasterName()})
	// The first tells of the others.
	for learned := time.After(waittest.Limit); len(c.sentinels.inOrder()) < 3; {
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-learned:
			t.Fatalf("knows only %q", c.sentinels.inOrder())
		default:
		}
	}
	group.Sentinels[0].Kill()
	group.Servers[0].Kill()
	group.WaitFailover(group.Servers[0])
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Error(err)
	}
}

func TestSentinelErrors(t *testing.T) {
	group := redistest.StartSentinels(t)
	name := group.MasterName()
	all := group.SentinelAddrs()
	down := freeAddr(t)
	setUser := redis.NewClient(&redis.Options{Addr: all[0]})
	defer setUser.Close()
	if err := setUser.Do(t.Context(), "acl", "setuser", "default", "resetpass", ">hunter2").Err(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Addrs: all[:1], SentinelPassword: "hunter2", MasterName: "other"}, `does not know a primary named "other"`},
		{Config{Addrs: []string{all[0], down}, SentinelPassword: "hunter3", MasterName: name}, "WRONGPASS"},
		{Config{Addrs: []string{down}, MasterName: name}, "connection refused"},
	} {
		err := mustDial(t, c.cfg).Ping(t.Context()).Err()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("got %v, want %q and no password", err, c.want)
		}
	}
	c := mustDial(t, Config{Addrs: all[:1], SentinelPassword: "hunter2", MasterName: name})
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

// A question that was put before a switch does not undo it.
func TestOldAnswerIsOutranked(t *testing.T) {
	d := newDialer(nil, defaultTimeouts.dial)
	defer d.close()
	asked := d.primaryVersion()
	if addr, moved := d.setPrimary("a:1", asked); addr != "a:1" || !moved {
		t.Errorf("got %s, %v", addr, moved)
	}
	if addr, moved := d.setPrimary("b:1", d.primaryVersion()); addr != "b:1" || !moved {
		t.Errorf("got %s, %v", addr, moved)
	}
	if addr, moved := d.setPrimary("a:1", asked); addr != "b:1" || moved {
		t.Errorf("an old answer gave %s, %v", addr, moved)
	}
	if addr, moved := d.setPrimary("b:1", d.primaryVersion()); addr != "b:1" || moved {
		t.Errorf("the same answer gave %s, %v", addr, moved)
	}
}
