package faultnet

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func subscribe(t *testing.T, c *redis.Client) *redis.PubSub {
	t.Helper()
	sub := c.Subscribe(t.Context(), "channel")
	t.Cleanup(func() { sub.Close() })
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	return sub
}

func publish(t *testing.T, c *redis.Client, text string) {
	t.Helper()
	if err := c.Publish(t.Context(), "channel", text).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestSubscriptionIsCutAlone(t *testing.T) {
	_, p := setUp(t)
	c := client(t, p.Addr())
	publish(t, c, "unknown")
	sub := subscribe(t, c)
	if n := p.Subscriptions.Connections(); n != 1 {
		t.Fatalf("%d subscriptions", n)
	}
	if n := p.Subscriptions.Cut(); n != 1 {
		t.Fatalf("cut %d", n)
	}
	if _, err := sub.Receive(t.Context()); err == nil {
		t.Fatal("the subscription was not cut")
	}
	accepted := p.Accepted()
	publish(t, c, "unknown")
	if p.Accepted() != accepted {
		t.Fatal("the other connection was cut, too")
	}
}

func TestSubscriptionsAreCutAgainAndAgain(t *testing.T) {
	_, p := setUp(t)
	c := client(t, p.Addr())
	p.Subscriptions.CutAlways()
	for range 3 {
		sub := c.Subscribe(t.Context(), "channel")
		if _, err := sub.Receive(t.Context()); err == nil {
			t.Fatal("a subscription held")
		}
		sub.Close()
		publish(t, c, "unknown")
	}
	p.Subscriptions.Heal()
	subscribe(t, c)
}

func TestSubscriptionIsHeldAlone(t *testing.T) {
	_, p := setUp(t)
	c := client(t, p.Addr())
	sub := subscribe(t, c)
	p.Subscriptions.Hold(ToClient)
	publish(t, c, "one")
	publish(t, c, "two")
	if got, err := sub.ReceiveTimeout(t.Context(), 100*time.Millisecond); err == nil {
		t.Fatalf("got %v through a held line", got)
	}
	p.Subscriptions.Heal()
	for _, want := range []string{"one", "two"} {
		if got, err := sub.ReceiveMessage(t.Context()); err != nil || got.Payload != want {
			t.Fatalf("got %v, %v; want %q", got, err, want)
		}
	}
}

func TestDropMessagesDropsNothingElse(t *testing.T) {
	for _, protocol := range []int{2, 3} {
		t.Run(map[int]string{2: "RESP2", 3: "RESP3"}[protocol], func(t *testing.T) {
			_, p := setUp(t)
			c := redis.NewClient(&redis.Options{Addr: p.Addr(), Protocol: protocol})
			defer c.Close()
			sub := subscribe(t, c)
			p.DropMessages()
			publish(t, c, "lost")
			if err := sub.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, err := sub.Receive(t.Context()); err != nil {
				t.Fatal(err)
			} else if _, ok := got.(*redis.Pong); !ok {
				t.Fatalf("got %v in place of the pong", got)
			}
			p.Heal()
			publish(t, c, "kept")
			if got, err := sub.ReceiveMessage(t.Context()); err != nil || got.Payload != "kept" {
				t.Fatalf("got %v, %v", got, err)
			}
		})
	}
}
