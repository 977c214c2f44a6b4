package registry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
	"fmt"

	"github.com/rollcall-sd/rollcall/internal/testredis"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

func TestZZDrainOfTheVanished(t *testing.T) {
	url := testredis.Start(t).URL() + "?ttl=2s&heartbeat=500ms"
	open := func() registry.Backend {
		r, err := registry.Open(context.Background(), url)
		must(t, err)
		t.Cleanup(func() { r.Close() })
		return r
	}
	ctx, owner, watcher, op := t.Context(), open(), open(), open()
	must(t, owner.Register(ctx, instance("api", "a")))
	must(t, owner.Register(ctx, instance("api", "b")))
	started, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	watching, stop := context.WithCancel(ctx)
	defer func() { stop(); <-ended }()
	go func() {
		defer close(ended)
		first := true
		for range watcher.Watch(watching, "api") {
			if first {
				first = false
				close(started)
				<-release
			}
		}
	}()
	<-started
	bounded, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	drained := make(chan error, 1)
	began := time.Now()
	go func() { drained <- op.Drain(bounded, "a") }()
	time.Sleep(300 * time.Millisecond)
	must(t, owner.Deregister(ctx, "a"))
	time.Sleep(1500 * time.Millisecond)
	close(release)
	err := <-drained
	t.Logf("after %v: %v", time.Since(began), err)
	if err == context.DeadlineExceeded || time.Since(began) > 5*time.Second {
		t.Errorf("drain did not return: %v", err)
	}
}

func TestZZLocalDrainManyStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registry.NewLocalRegistry()
		defer r.Close()
		must(t, r.Register(t.Context(), instance("api", "a")))
		release := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			first := true
			for range r.Watch(ctx, "api") {
				if first {
					first = false
					<-release
				}
			}
		}()
		synctest.Wait()
		bounded, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		drained := make(chan error, 1)
		go func() { drained <- r.Drain(bounded, "a") }()
		synctest.Wait()
		for i := range 100 {
			must(t, r.Register(t.Context(), instance("api", fmt.Sprint("x", i))))
		}
		close(release)
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

func TestZZCacheIdleWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flaky := registrytest.NewFlaky(registry.NewLocalRegistry())
		c := registry.NewCachedRegistry(flaky, registry.WithIdleTimeout(time.Second))
		defer c.Close()
		must(t, c.Register(t.Context(), instance("api", "a")))
		flaky.Away(nil)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		got := make(chan error, 1)
		go func() { _, err := c.Discover(ctx, "api"); got <- err }()
		time.Sleep(10 * time.Second)
		flaky.Back()
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}
