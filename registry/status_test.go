package registry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
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
		url := redistest.Start(t).URL() + "?ttl=2s&heartbeat=500ms"
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

// waitLimit is far more than what the tests wait for takes.
const waitLimit = 20 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Health and a drain each keep their own note, whatever the order in which they are set.
func TestEachFactKeepsItsOwnNote(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		ctx, owner, operator := t.Context(), open(), open()
		must(t, owner.Register(ctx, instance("api", "a")))
		expect := func(after string, status registry.Status, note string) {
			t.Helper()
			list, err := operator.Instances(ctx, "api")
			must(t, err)
			if len(list) != 1 || list[0].Status != status || list[0].Note != note {
				t.Fatalf("after %s the instances are %+v, want one of status %q with note %q", after, list, status, note)
			}
		}
		must(t, operator.SetStatus(ctx, "a", registry.StatusCritical, "disk full"))
		must(t, operator.SetStatus(ctx, "a", registry.StatusDraining, "deploy"))
		expect("a drain with a note", registry.StatusDraining, "deploy")
		must(t, operator.Drain(ctx, "a"))
		expect("a Drain of what drains", registry.StatusDraining, "deploy")
		must(t, owner.Register(ctx, instance("api", "a")))
		expect("an identical registration", registry.StatusDraining, "deploy")
		changed := instance("api", "a")
		changed.Version = "2"
		must(t, owner.Register(ctx, changed))
		expect("another registration", registry.StatusDraining, "deploy")
		must(t, operator.Undrain(ctx, "a"))
		expect("Undrain", registry.StatusCritical, "disk full")
		must(t, operator.SetStatus(ctx, "a", registry.StatusDraining, "again"))
		must(t, operator.SetStatus(ctx, "a", registry.StatusWarning, "slow"))
		expect("a health check of what drains", registry.StatusDraining, "again")
		must(t, operator.Undrain(ctx, "a"))
		expect("the second Undrain", registry.StatusWarning, "slow")
		must(t, operator.Drain(ctx, "a"))
		expect("a Drain without a note", registry.StatusDraining, "slow")
		must(t, operator.SetStatus(ctx, "a", registry.StatusDraining, "third"))
		changed.Status = registry.StatusPassing
		must(t, owner.Register(ctx, changed))
		expect("a registration that sets a status", registry.StatusDraining, "third")
		must(t, operator.Undrain(ctx, "a"))
		expect("the last Undrain", registry.StatusPassing, "")
	})
}

// Undrain ends a Drain that waits, with an error.
func TestUndrainEndsADrainThatWaits(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
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
		await(t, ctx, first, "the first state of the watch")
		drained := make(chan error, 1)
		go func() { drained <- owner.Drain(ctx, "a") }()
		await(t, ctx, draining, "the watch to be handed the drain")
		must(t, watcher.Undrain(ctx, "a"))
		select {
		case err := <-drained:
			if err == nil || ctx.Err() != nil {
				t.Errorf("a drain that was undone ended with %v, want an error of its own", err)
			}
		case <-ctx.Done():
			t.Error("a drain that was undone goes on waiting")
		}
		close(release)
		await(t, ctx, ended, "the watch to end")
	})
}

// await waits for a signal.
func await(t *testing.T, ctx context.Context, signal <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-signal:
	case <-ctx.Done():
		t.Fatalf("waited too long for %s", what)
	}
}

// An instance whose owner Redis made to forget it, or that another owner moved, lives:
// its status can be set, and it can be drained, undrained and deregistered.
func TestStatusOfWhatRedisLostOrAnotherMoved(t *testing.T) {
	server := redistest.Start(t)
	open := func() registry.Backend {
		r, err := registry.Open(t.Context(), server.URL()+"?ttl=60s&heartbeat=20s")
		must(t, err)
		t.Cleanup(func() { r.Close() })
		return r
	}
	calls := map[string]func(b registry.Backend, ctx context.Context, id string) error{
		"SetStatus": func(b registry.Backend, ctx context.Context, id string) error {
			return b.SetStatus(ctx, id, registry.StatusWarning, "slow")
		},
		"SetStatus to draining": func(b registry.Backend, ctx context.Context, id string) error {
			return b.SetStatus(ctx, id, registry.StatusDraining, "deploy")
		},
		"Undrain": func(b registry.Backend, ctx context.Context, id string) error { return b.Undrain(ctx, id) },
	}
	status := map[string]registry.Status{"SetStatus": registry.StatusWarning, "SetStatus to draining": registry.StatusDraining, "Undrain": registry.StatusPassing}
	for what, call := range calls {
		t.Run(what+" after a loss", func(t *testing.T) {
			ctx, owner := t.Context(), open()
			must(t, owner.Register(ctx, instance("web", "x")))
			before, err := owner.Discover(ctx, "web")
			must(t, err)
			must(t, server.Client(t).FlushAll(ctx).Err())
			must(t, call(owner, ctx, "x"))
			list, err := owner.Instances(ctx, "web")
			must(t, err)
			if len(list) != 1 || list[0].Status != status[what] || !list[0].RegisteredAt.Equal(before[0].RegisteredAt) {
				t.Errorf("the instances are %+v, want x as registered, %s", list, status[what])
			}
			must(t, owner.Deregister(ctx, "x"))
		})
		t.Run(what+" after a move", func(t *testing.T) {
			ctx, earlier, later := t.Context(), open(), open()
			must(t, earlier.Register(ctx, instance("web", "x")))
			must(t, later.Register(ctx, instance("web2", "x")))
			must(t, call(earlier, ctx, "x"))
			list, err := earlier.Instances(ctx, "web2")
			must(t, err)
			if len(list) != 1 || list[0].Status != status[what] {
				t.Errorf("the instances are %+v, want x, %s", list, status[what])
			}
			must(t, later.Deregister(ctx, "x"))
		})
	}
}
