package balance

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

func TestWithoutInstancesTheErrorSaysWhy(t *testing.T) {
	ctx := context.Background()
	cases := map[string]struct {
		prepare func(*registry.LocalRegistry) error
		options []Option
		want    string
	}{
		"none": {want: `no instances of "api"`},
		"drains": {
			prepare: func(r *registry.LocalRegistry) error {
				register(t, r, api("a"))
				return r.SetStatus(ctx, "a", registry.StatusDraining, "")
			},
			want: `no callable instances of "api": 0 critical, 1 draining`,
		},
		"selection": {
			prepare: func(r *registry.LocalRegistry) error { register(t, r, api("a"), api("b")); return nil },
			options: []Option{WithVersion("^2"), WithTags("x"), WithMetadata("k", "v")},
			want:    `none of the 2 callable instances of "api" matches tags ["x"], metadata map["k":"v"], version "^2"`,
		},
	}
	for name, c := range cases {
		r := localRegistry(t)
		if c.prepare != nil {
			if err := c.prepare(r); err != nil {
				t.Fatal(err)
			}
		}
		_, err := balancer(t, r, c.options...).Pick(ctx)
		if !errors.Is(err, ErrNoInstances) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestNoInstanceKnownWhileTheBackendIsUnavailable(t *testing.T) {
	f := registrytest.NewFlaky(localRegistry(t, api("a")))
	f.Disconnect(nil)
	_, err := balancer(t, f).Pick(t.Context())
	if !errors.Is(err, ErrNoInstances) || !errors.Is(err, registry.ErrUnavailable) {
		t.Error(err)
	}
}

func TestWaitEndsWhenAnInstanceComes(t *testing.T) {
	inBubble(t, []Option{WithWait(time.Minute)}, nil, func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
		time.AfterFunc(10*time.Second, func() { register(t, r, api("a")) })
		start := time.Now()
		pick(t, b).Done(nil)
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestWaitEndsInTime(t *testing.T) {
	inBubble(t, []Option{WithWait(time.Minute)}, nil, func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		start := time.Now()
		_, err := b.Pick(t.Context())
		if took := time.Since(start); !errors.Is(err, ErrNoInstances) || took != time.Minute {
			t.Errorf("%v after %v", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		_, err = b.Pick(ctx)
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrNoInstances) || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestWaitEndsWithClose(t *testing.T) {
	inBubble(t, []Option{WithWait(time.Hour)}, nil, func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		time.AfterFunc(time.Second, func() { b.Close() })
		start := time.Now()
		_, err := b.Pick(t.Context())
		if took := time.Since(start); !errors.Is(err, registry.ErrClosed) || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestWithoutWaitTheErrorComesAtOnce(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		start := time.Now()
		if _, err := b.Pick(t.Context()); !errors.Is(err, ErrNoInstances) || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		synctest.Wait()
	})
}
