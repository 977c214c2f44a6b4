package registrytest

import (
	"cmp"
	"context"
	"iter"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

func (r *ref) Watch(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
	empty := registry.Snapshot{Service: name, Instances: []registry.ServiceInfo{}}
	return func(yield func(registry.Snapshot) bool) {
		if err := cmp.Or(named(name), r.closedErr()); err != nil {
			empty.Stale = err
			yield(empty)
			return
		}
		watch(r, ctx, name, empty, func() registry.Snapshot { return r.state(name) },
			func(s registry.Snapshot, err error) registry.Snapshot { s.Stale = err; return s }, yield)
	}
}

func (r *ref) WatchServices(ctx context.Context) iter.Seq[registry.Catalog] {
	return func(yield func(registry.Catalog) bool) {
		if err := r.closedErr(); err != nil {
			yield(registry.Catalog{Names: []string{}, Stale: err})
			return
		}
		watch(r, ctx, "", registry.Catalog{Names: []string{}}, func() registry.Catalog {
			return registry.Catalog{Names: r.w.names(), Revision: r.w.revs[""], AsOf: time.Now()}
		}, func(c registry.Catalog, err error) registry.Catalog { c.Stale = err; return c }, yield)
	}
}

func (r *ref) NotifyLost(id string, lost func(error)) (stop func()) {
	stopped := make(chan struct{})
	report := func() (reported bool, changed <-chan struct{}) {
		r.w.mu.Lock()
		rec, registeredAt, changed := r.w.records[id], r.mine[id], r.w.changed
		r.w.mu.Unlock()
		switch {
		case r.closed():
			lost(registry.ErrClosed)
		case rec == nil:
			lost(registry.ErrDeregistered)
		case rec.registeredAt != registeredAt:
			lost(registry.ErrSuperseded)
		default:
			return false, changed
		}
		return true, nil
	}
	reported, changed := report()
	if reported {
		return func() {}
	}
	r.wg.Go(func() {
		for reported := false; !reported; {
			select {
			case <-r.done:
				return
			case <-stopped:
				return
			case <-changed:
				select {
				case <-stopped:
					return
				default:
				}
				reported, changed = report()
			}
		}
	})
	return sync.OnceFunc(func() { close(stopped) })
}

func (r *ref) closedErr() error {
	if r.closed() {
		return registry.ErrClosed
	}
	return nil
}

// watch yields a state whenever its revision or its staleness moved.
func watch[T any](r *ref, ctx context.Context, name string, last T, read func() T, mark func(T, error) T, yield func(T) bool) {
	type version struct {
		revision uint64
		muted    bool
	}
	var acknowledged *version
	for ctx.Err() == nil && !r.closed() {
		r.w.mu.Lock()
		next := r.w.prune()
		now := version{r.w.revs[name], r.w.muted || r.w.unproven()}
		changed := r.w.changed
		fresh := acknowledged == nil || *acknowledged != now
		switch {
		case fresh && now.muted:
			last = mark(last, registry.ErrUnavailable)
		case fresh:
			last = read()
		}
		r.w.mu.Unlock()
		if fresh {
			if acknowledged = &now; !yield(last) {
				return
			}
			continue
		}
		var expire <-chan time.Time
		if !next.IsZero() {
			expire = time.After(time.Until(next) + 1)
		}
		select {
		case <-changed:
		case <-expire:
		case <-ctx.Done():
		case <-r.done:
		}
	}
}
