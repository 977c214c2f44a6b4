package consulapi

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

// viewContext bounds a read of a view.
func viewContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), waittest.Limit)
	t.Cleanup(cancel)
	return ctx
}

func TestServiceStateFollowsInstances(t *testing.T) {
	d := start(t, localBackend(t), "web-7")
	ctx := viewContext(t)
	empty, err := d.Service(ctx, "api")
	if err != nil || len(empty.Instances) != 0 {
		t.Fatalf("a service without instances: %+v, %v", empty, err)
	}
	d.register(`{"Name":"api","Port":80,"Check":{"TTL":"1h"},"Weights":{"Passing":3,"Warning":2}}`)
	one, err := d.AwaitService(ctx, "api", empty)
	if err != nil || len(one.Instances) != 1 || one.Index <= empty.Index {
		t.Fatalf("after a registration: %+v, %v", one, err)
	}
	i := one.Instances[0]
	if i.Node.Name != "web-7" || i.Health != "critical" || len(i.Checks) != 1 || i.Checks[0].ID != "service:api" || i.Weights != (Weights{3, 2}) || i.Library {
		t.Errorf("instance %+v, node %+v", i, i.Node)
	}
	if again, _ := d.Service(ctx, "api"); again != one {
		t.Error("nothing changed, and the state is another pointer")
	}
	d.must("PUT", "/v1/agent/check/pass/service:api", "")
	passing, err := d.AwaitService(ctx, "api", one)
	if err != nil || passing.Instances[0].Health != "passing" {
		t.Errorf("after a passing check: %+v, %v", passing, err)
	}
	d.must("PUT", "/v1/agent/maintenance?enable=true", "")
	for passing.Instances[0].Health == "passing" {
		if passing, err = d.AwaitService(ctx, "api", passing); err != nil {
			t.Fatalf("the node's maintenance does not show: %v", err)
		}
	}
}

func TestCatalogStateFollowsServices(t *testing.T) {
	d := start(t, localBackend(t), "web-7")
	ctx := viewContext(t)
	before, err := d.Catalog(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d.register(`{"Name":"api","Port":80}`)
	for !slices.Contains(before.Names, "api") {
		if before, err = d.AwaitCatalog(ctx, before); err != nil {
			t.Fatal(err)
		}
	}
	if again, _ := d.Catalog(ctx); again != before {
		t.Error("nothing changed, and the state is another pointer")
	}
	if n, err := d.Node(ctx, "web-7"); err != nil || n == nil || n.Address != "127.0.0.1" {
		t.Errorf("node web-7: %+v, %v", n, err)
	}
	if n, err := d.Node(ctx, "web-8"); err != nil || n != nil {
		t.Errorf("node web-8: %+v, %v", n, err)
	}
}

func TestReadsOfStatesEnd(t *testing.T) {
	d := start(t, localBackend(t), "web-7")
	state, err := d.Service(viewContext(t), "api")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.AwaitService(ctx, "api", state); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
	d.AnswerBlocked()
	if _, err := d.AwaitService(viewContext(t), "api", state); !errors.Is(err, ErrStopping) {
		t.Errorf("while the daemon stops: %v", err)
	}
}

// mute is a backend whose watches say nothing.
type mute struct{ registry.Backend }

func (mute) Watch(ctx context.Context, _ string) iter.Seq[registry.Snapshot] {
	return func(func(registry.Snapshot) bool) { <-ctx.Done() }
}

func TestStateOfABackendThatHasNotAnsweredIsAnError(t *testing.T) {
	d := begin(t, mute{localBackend(t)}, "web-7")
	t.Cleanup(d.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if state, err := d.Service(ctx, "api"); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("%+v, %v", state, err)
	}
}

// flaky is a backend whose watch says what the test sends.
type flaky struct {
	registry.Backend
	snapshots chan registry.Snapshot
}

func (f flaky) Watch(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
	return func(yield func(registry.Snapshot) bool) {
		for name == "api" {
			select {
			case s := <-f.snapshots:
				if !yield(s) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
		f.Backend.Watch(ctx, name)(yield)
	}
}

func TestStateSaysThatItIsStaleAndThatItIsNot(t *testing.T) {
	f := flaky{localBackend(t), make(chan registry.Snapshot)}
	d := begin(t, f, "web-7")
	t.Cleanup(d.Close)
	ctx := viewContext(t)
	send := func(s registry.Snapshot) {
		go func() { f.snapshots <- s }()
	}
	var last *ServiceState
	for _, stale := range []error{nil, registry.ErrUnavailable, nil} {
		send(registry.Snapshot{Service: "api", Stale: stale, AsOf: time.Now()})
		s, err := d.AwaitService(ctx, "api", last)
		if err != nil || (s.Stale == nil) != (stale == nil) {
			t.Fatalf("wanted stale %v: %+v, %v", stale, s, err)
		}
		if last != nil && s.Index != last.Index {
			t.Errorf("the index changed from %d to %d, though no instance did", last.Index, s.Index)
		}
		last = s
	}
}
