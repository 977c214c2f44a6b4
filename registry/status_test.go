package registry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/testredis"
	"github.com/rollcall-sd/rollcall/registry"
)

// eachBackend runs a test on memory and on Redis. open returns another registry
// of the same universe, in memory the same one.
func eachBackend(t *testing.T, test func(t *testing.T, open func() registry.Backend)) {
	t.Run("local", func(t *testing.T) {
		r := registry.NewLocalRegistry()
		t.Cleanup(func() { r.Close() })
		test(t, func() registry.Backend { return r })
	})
	t.Run("redis", func(t *testing.T) {
		url := testredis.Start(t).URL() + "?ttl=2s&heartbeat=500ms"
		test(t, func() registry.Backend {
			r, err := registry.Open(context.Background(), url)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Close() })
			return r
		})
	})
}

func instance(name, id string) registry.ServiceInfo {
	return registry.ServiceInfo{ID: id, Name: name, Address: "10.0.0.1", Port: 80}
}

func TestHealthAndDrainingAreKeptApart(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		ctx, owner, operator := t.Context(), open(), open()
		must(t, owner.Register(ctx, instance("api", "a")))
		expect := func(status registry.Status, note string) {
			t.Helper()
			list, err := operator.Instances(ctx, "api")
			must(t, err)
			if len(list) != 1 || list[0].Status != status || list[0].Note != note {
				t.Fatalf("instances are %+v, want one of status %q with note %q", list, status, note)
			}
			callable, err := operator.Discover(ctx, "api")
			must(t, err)
			if want := status != registry.StatusCritical && status != registry.StatusDraining; (len(callable) == 1) != want {
				t.Fatalf("Discover = %v with status %q", callable, status)
			}
		}
		expect(registry.StatusPassing, "")
		must(t, operator.SetStatus(ctx, "a", registry.StatusCritical, "disk full"))
		expect(registry.StatusCritical, "disk full")
		must(t, operator.Drain(ctx, "a"))
		expect(registry.StatusDraining, "disk full")
		must(t, operator.SetStatus(ctx, "a", registry.StatusPassing, ""))
		expect(registry.StatusDraining, "")
		changed := instance("api", "a")
		changed.Version = "2"
		must(t, owner.Register(ctx, changed))
		expect(registry.StatusDraining, "")
		must(t, operator.Undrain(ctx, "a"))
		expect(registry.StatusPassing, "")
		must(t, operator.SetStatus(ctx, "a", registry.StatusWarning, "slow"))
		changed.Status = registry.StatusPassing
		must(t, owner.Register(ctx, changed))
		expect(registry.StatusPassing, "")
		changed.Status = registry.StatusDraining
		must(t, owner.Register(ctx, changed))
		must(t, operator.Undrain(ctx, "a"))
		expect(registry.StatusPassing, "")
		must(t, operator.Drain(ctx, "a"))
		must(t, operator.SetStatus(ctx, "a", registry.StatusWarning, ""))
		expect(registry.StatusDraining, "")
		for _, err := range []error{operator.SetStatus(ctx, "b", registry.StatusPassing, ""), operator.Drain(ctx, "b"), operator.Undrain(ctx, "b")} {
			if !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("unknown ID: %v", err)
			}
		}
		if err := operator.SetStatus(ctx, "a", "odd", ""); !errors.Is(err, registry.ErrInvalidService) {
			t.Errorf("odd status: %v", err)
		}
	})
}

func TestAnIdenticalRegistrationWithAStatusIsARenewal(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		r := open()
		i := instance("api", "a")
		i.Status = registry.StatusPassing
		must(t, r.Register(t.Context(), i))
		must(t, r.Drain(t.Context(), "a"))
		before, err := r.Instances(t.Context(), "api")
		must(t, err)
		must(t, r.Register(t.Context(), i))
		after, err := r.Instances(t.Context(), "api")
		must(t, err)
		if len(after) != 1 || !after[0].RegisteredAt.Equal(before[0].RegisteredAt) || after[0].Revision != before[0].Revision {
			t.Errorf("%+v became %+v", before, after)
		}
	})
}

func TestDrainWaitsForEveryWatcher(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		ctx, owner, watcher := t.Context(), open(), open()
		must(t, owner.Register(ctx, instance("api", "a")))
		started, taken, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
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
					close(taken)
					<-release
				}
			}
		}()
		<-started
		impatient, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		err := owner.Drain(impatient, "a")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 watching process has") {
			t.Fatalf("drain that one watcher has not taken: %v", err)
		}
		<-taken
		drained := make(chan error, 1)
		go func() { drained <- owner.Drain(ctx, "a") }()
		close(release)
		must(t, <-drained)
		stop()
		<-ended
		must(t, owner.Undrain(ctx, "a"))
		must(t, owner.Drain(ctx, "a")) // nobody watches any more
	})
}

// A reader who missed many states has taken each of them with the latest.
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
		must(t, <-drained)
	})
}

// patience is far more than what the tests wait for takes.
const patience = 20 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
