package nemesis

import (
	"context"
	"errors"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// slot runs the planned acts on one ID.
func (w *runner) slot(moves []Move) {
	var owner *member // of the last registration; nil if there is none
	var current *registry.ServiceInfo
	for _, move := range moves {
		if !w.pause(w.ctx, move.Wait) {
			return
		}
		if owner != nil && owner != w.member(proxyOf(owner.client.Name)) {
			owner = nil // it crashed
		}
		switch move.Act {
		case Leave:
			if owner != nil {
				w.deregister(Deregister, owner, move)
			} else {
				w.deregister(Operate, w.member(w.plan.Readers[2].Proxy), move)
			}
			owner, current = nil, nil
		case Evict:
			w.deregister(Operate, w.member(w.plan.Readers[2].Proxy), move)
			owner, current = nil, nil
		case Replace, Renew:
			if move.Act == Renew && owner != nil && current != nil {
				w.register(owner, *current, move.Timeout)
				continue
			}
			m := w.member(move.Proxy)
			if m == nil {
				continue
			}
			token := w.token()
			info := registry.ServiceInfo{ID: move.ID, Name: move.Service, Version: token, Address: "10.0.0.1", Port: 80,
				Metadata: map[string]string{"token": token}, Tags: []string{token}}
			owner, current = m, nil
			if w.register(m, info, move.Timeout) {
				current = &info
			}
		}
	}
}

func (w *runner) register(m *member, info registry.ServiceInfo, timeout time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	start := w.history.Now()
	err := m.Register(ctx, info)
	w.history.AddCall(Call{Client: m.client.Name, Op: Register, Service: info.Name, ID: info.ID, Token: info.Version,
		Start: start, Deadline: start + timeout, Err: text(err)})
	return err == nil
}

func (w *runner) deregister(op Op, m *member, move Move) {
	ctx, cancel := context.WithTimeout(context.Background(), move.Timeout)
	defer cancel()
	start := w.history.Now()
	err := m.Deregister(ctx, move.ID)
	w.history.AddCall(Call{Client: m.client.Name, Op: op, ID: move.ID, Start: start, Deadline: start + move.Timeout, Err: text(err)})
}

// read calls Discover for one service after the other.
func (w *runner) read(offset int, on string) {
	for i := offset; w.pause(w.ctx, 90*time.Millisecond); i++ {
		m := w.member(on)
		if m == nil {
			continue
		}
		service := w.plan.Services[i%len(w.plan.Services)]
		ctx, cancel := context.WithTimeout(w.ctx, 2*second)
		start := w.history.Now()
		list, err := m.Discover(ctx, service)
		if w.ctx.Err() == nil {
			w.history.AddCall(Call{Client: m.client.Name, Op: Discover, Service: service, Start: start, Shown: shownOf(list), Err: text(err)})
		}
		cancel()
	}
}

// watch watches a service until the plan ends.
func (w *runner) watch(on, service string) {
	w.watchUntil(w.ctx, w.member(on), service)
}

func (w *runner) watchUntil(ctx context.Context, m *member, service string) {
	recorded := w.history.BeginWatch(m.client.Name, service)
	stopping := make(chan struct{})
	context.AfterFunc(ctx, func() {
		w.history.StopWatch(recorded)
		close(stopping)
	})
	for s := range m.Watch(ctx, service) {
		if ctx.Err() == nil {
			w.history.AddYield(recorded, shownOf(s.Instances), text(s.Stale))
		}
	}
	if ctx.Err() == nil {
		w.history.WatchEnded(recorded)
	}
	<-stopping
}

// watchBriefly watches one service after the other, each for a short time.
func (w *runner) watchBriefly(on string) {
	for i := 0; w.pause(w.ctx, 100*time.Millisecond); i++ {
		ctx, cancel := context.WithTimeout(w.ctx, time.Duration(500+700*(i%7))*time.Millisecond)
		w.watchUntil(ctx, w.member(on), w.plan.Services[i%len(w.plan.Services)])
		cancel()
	}
}

// recordCache records what a cache returns. It must be what a watch would yield.
func (w *runner) recordCache(on string) {
	m := w.member(on)
	cache := registry.NewCachedRegistry(notClosed{m.Backend})
	defer cache.Close()
	type seen struct {
		watch    *Watch
		revision uint64
		stale    string
	}
	states := map[string]*seen{}
	for w.pause(w.ctx, 10*time.Millisecond) {
		for _, service := range w.plan.Services {
			s := cache.Lookup(service)
			if errors.Is(s.Stale, registry.ErrNotReady) {
				continue
			}
			was := states[service]
			if was == nil {
				was = &seen{watch: w.history.BeginWatch(m.client.Name, service)}
				states[service] = was
			} else if was.revision == s.Revision && was.stale == text(s.Stale) {
				continue
			}
			was.revision, was.stale = s.Revision, text(s.Stale)
			w.history.AddYield(was.watch, shownOf(s.Instances), was.stale)
		}
	}
}

// notClosed is a backend whose Close does nothing.
type notClosed struct{ registry.Backend }

func (notClosed) Close() error { return nil }

func shownOf(list []registry.ServiceInfo) []Shown {
	out := make([]Shown, len(list))
	for i, s := range list {
		out[i] = Shown{ID: s.ID, Token: s.Version, RegisteredAt: s.RegisteredAt.UnixMicro(),
			Broken: s.Metadata["token"] != s.Version || len(s.Tags) != 1 || s.Tags[0] != s.Version || s.Address == "" || s.Port == 0}
	}
	return out
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
