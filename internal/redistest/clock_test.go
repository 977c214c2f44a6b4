package redistest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// offBy waits until the server's clock differs from ours by about d.
func offBy(t *testing.T, client *redis.Client, d time.Duration) {
	t.Helper()
	err := within(5*time.Second, func(ctx context.Context) error {
		now, err := client.Time(ctx).Result()
		if err != nil {
			return err
		}
		if off := time.Until(now) - d; off.Abs() > time.Second {
			return fmt.Errorf("the clock is off by %s, not %s", time.Until(now), d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStepClock(t *testing.T) {
	t.Parallel()
	s := Start(t, WithFakeTime())
	client := s.Client(t)
	offBy(t, client, 0)
	if err := client.Set(t.Context(), "key", "value", 30*time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	s.StepClock(-time.Minute)
	offBy(t, client, -time.Minute)
	if !exists(t, s, "key") {
		t.Fatal("a key expired in a step back")
	}
	s.StepClock(2 * time.Minute)
	offBy(t, client, time.Minute)
	if exists(t, s, "key") {
		t.Fatal("a key outlived a step beyond its end")
	}
	s.Restart()
	offBy(t, s.Client(t), time.Minute)
	s.StepClock(-time.Minute - 1500*time.Millisecond)
	offBy(t, s.Client(t), -1500*time.Millisecond)
}

// Only the wall clock steps: a blocked client times out by the monotonic clock.
func TestStepClockLeavesMonotonicTimeAlone(t *testing.T) {
	t.Parallel()
	s := Start(t, WithFakeTime())
	client := s.Client(t)
	began := time.Now()
	if err := client.BLPop(t.Context(), time.Second, "none").Err(); err != redis.Nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 900*time.Millisecond || took > 5*time.Second {
		t.Fatalf("a wait of 1 s took %s", took)
	}
}
