package registry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

func TestDrainWaitsForEveryWatcher(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		ctx, owner, watcher := t.Context(), open(), open()
		must(t, owner.Register(ctx, instance("api", "a")))
		started, shown, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
		watching, stop := context.WithCancel(ctx)
		defer stop()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			first := true
			for s := range watcher.Watch(watching, "api") {
				if first && len(s.Instances) == 1 {
					close(started)
					first = false
				}
				if len(s.Others) == 1 {
					close(shown)
					<-release
				}
			}
		}()
		waittest.Receive(t, started, "the first state of the watch")
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		err := owner.Drain(short, "a")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 watching process has") {
			t.Fatalf("Drain that one watch has not acknowledged = %v", err)
		}
		waittest.Receive(t, shown, "the drain in the watch")
		drained := make(chan error, 1)
		go func() { drained <- owner.Drain(ctx, "a") }()
		close(release)
		must(t, waittest.Receive(t, drained, "Drain"))
		stop()
		waittest.Receive(t, ended, "the watch to end")
		must(t, owner.Undrain(ctx, "a"))
		must(t, owner.Drain(ctx, "a")) // there are no watches
	})
}

// A subscriber that missed many states acknowledges all of them with the newest.
func TestDrainReturnsAfterAnyNumberOfStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registry.NewLocalRegistry()
		defer r.Close()
		must(t, r.Register(t.Context(), instance("api", "a")))
		release := make(chan struct{})
		watching, stop := context.WithCancel(t.Context())
		defer stop()
		go func() {
			for range r.Watch(watching, "api") {
				<-release
			}
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		drained := make(chan error, 1)
		go func() { drained <- r.Drain(ctx, "a") }()
		synctest.Wait()
		for i := range 200 {
			must(t, r.Register(t.Context(), instance("api", fmt.Sprint("later", i))))
		}
		close(release)
		must(t, waittest.Receive(t, drained, "Drain"))
	})
}

func TestUndrainMakesAWaitingDrainFail(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		ctx, cancel := context.WithTimeout(t.Context(), waittest.Limit)
		defer cancel()
		owner, watcher := open(), open()
		must(t, owner.Register(ctx, instance("api", "a")))
		first, draining, release, ended := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for s := range watcher.Watch(ctx, "api") {
				if len(s.Others) == 1 {
					draining <- struct{}{}
					<-release
					return
				}
				if len(s.Instances) == 1 {
					first <- struct{}{}
				}
			}
		}()
		waittest.Receive(t, first, "the first state of the watch")
		drained := make(chan error, 1)
		go func() { drained <- owner.Drain(ctx, "a") }()
		waittest.Receive(t, draining, "the drain in the watch")
		must(t, watcher.Undrain(ctx, "a"))
		select {
		case err := <-drained:
			if err == nil || ctx.Err() != nil {
				t.Errorf("Drain = %v after Undrain, want an error", err)
			}
		case <-ctx.Done():
			t.Error("Drain still waits after Undrain")
		}
		close(release)
		waittest.Receive(t, ended, "the watch to end")
	})
}
