package faultnet

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestCommandsAndRoundTrips(t *testing.T) {
	_, p := setUp(t)
	c := client(t, p.Addr())
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	p.Reset()
	if err := c.Set(t.Context(), "a", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for i := range 100 {
			pipe.Get(t.Context(), fmt.Sprint("key", i))
		}
		return nil
	}); err != nil && err != redis.Nil {
		t.Fatal(err)
	}
	if got := p.RoundTrips(); got != 2 {
		t.Fatalf("%d round trips", got)
	}
	if got := fmt.Sprint(p.Commands()); got != "map[GET:100 SET:1]" {
		t.Fatalf("commands: %s", got)
	}
	p.Reset()
	if got := fmt.Sprint(p.Commands(), p.RoundTrips()); got != "map[] 0" {
		t.Fatalf("after a reset: %s", got)
	}
}

func TestMessagesAreNoRoundTrips(t *testing.T) {
	_, p := setUp(t)
	c := client(t, p.Addr())
	sub := subscribe(t, c)
	publish(t, c, "first")
	p.Reset()
	for range 5 {
		publish(t, c, "text")
	}
	for range 6 {
		if _, err := sub.ReceiveMessage(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.RoundTrips(); got != 5 {
		t.Fatalf("%d round trips", got)
	}
}
