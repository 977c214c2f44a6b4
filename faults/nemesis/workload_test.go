package nemesis

import (
	"context"
	"errors"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// slot does to one ID what the plan says.
func (w *world) slot(moves []Move) {
	var owner *member // of the registration that was asked for last; nil when there is none
	var standing *registry.ServiceInfo
	for _, move := range moves {
		if !w.pause(w.ctx, move.Wait) {
			return
		}
		if owner != nil && owner != w.member(line(owner.client.Name)) {
			owner = nil // it crashed
		}
		switch move.Act {
		case Leave:
			if owner != nil {
				w.deregister(Deregister, owner, move)
			} else {
				w.deregister(Operate, w.member(w.plan.Readers[2].Line), move)
			}
			owner, standing = nil, nil
		case Evict:
			w.deregister(Operate, w.member(w.plan.Readers[2].Line), move)
			owner, standing = nil, nil
		case Replace, Renew:
			if move.Act == Renew && owner != nil && standing != nil {
				w.register(owner, *standing, move.Patience)
				continue
			}
			m := w.member(move.Line)
			if m == nil {
				continue
			}
			token := w.token()
			info := registry.ServiceInfo{ID: move.ID, Name: move.Service, Version: token, Address: "10.0.0.1", Port: 80,
				Metadata: map[string]string{"token": token}, Tags: []string{token}}
			owner, standing = m, nil
			if w.register(m, info, move.Patience) {
				standing = &info
			}
		}
	}
}

func (w *world) register(m *member, info registry.ServiceInfo, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	start := w.history.Now()
	err := m.Register(ctx, info)
	w.history.Called(Call{Client: m.client.Name, Op: Register, Service: info.Name, ID: info.ID, Token: info.Version,
		Start: start, Deadline: start + patience, Err: text(err)})
	return err == nil
}

func (w *world) deregister(op Op, m *member, move Move) {
	ctx, cancel := context.WithTimeout(context.Background(), move.Patience)
	defer cancel()
	start := w.history.Now()
	err := m.Deregister(ctx, move.ID)
	w.history.Called(Call{Client: m.client.Name, Op: op, ID: move.ID, Start: start, Deadline: start + move.Patience, Err: text(err)})
}

// read asks for one service after the other.
func (w *world) read(offset int, on string) {
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
			w.history.Called(Call{Client: m.client.Name, Op: Discover, Service: service, Start: start, Shown: shownOf(list), Err: text(err)})
		}
		cancel()
	}
}

// watch follows a service from the beginning to the end.
func (w *world) watch(on, service string) {
	w.watchUntil(w.ctx, w.member(on), service)
}

func (w *world) watchUntil(ctx context.Context, m *member, service string) {
	recorded := w.history.Begin(m.client.Name, service)
	stopping := make(chan struct{})
	context.AfterFunc(ctx, func() {
		w.history.Stop(recorded)
		close(stopping)
	})
	for s := range m.Watch(ctx, service) {
		if ctx.Err() == nil {
			w.history.Yielded(recorded, shownOf(s.Instances), text(s.Stale))
		}
	}
	if ctx.Err() == nil {
		w.history.Over(recorded)
	}
	<-stopping
}

// comeAndGo watches one service after the other, for a short while each.
func (w *world) comeAndGo(on string) {
	for i := 0; w.pause(w.ctx, 100*time.Millisecond); i++ {
		ctx, cancel := context.WithTimeout(w.ctx, time.Duration(500+700*(i%7))*time.Millisecond)
		w.watchUntil(ctx, w.member(on), w.plan.Services[i%len(w.plan.Services)])
		cancel()
	}
}

// follow looks at what a cache knows, which is to be what its watch would show.
func (w *world) follow(on string) {
	m := w.member(on)
	cache := registry.NewCachedRegistry(kept{m.Backend})
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
				was = &seen{watch: w.history.Begin(m.client.Name, service)}
				states[service] = was
			} else if was.revision == s.Revision && was.stale == text(s.Stale) {
				continue
			}
			was.revision, was.stale = s.Revision, text(s.Stale)
			w.history.Yielded(was.watch, shownOf(s.Instances), was.stale)
		}
	}
}

// kept is a backend that is not closed with what uses it.
type kept struct{ registry.Backend }

func (kept) Close() error { return nil }

func shownOf(list []registry.ServiceInfo) []Shown {
	out := make([]Shown, len(list))
	for i, s := range list {
		out[i] = Shown{ID: s.ID, Token: s.Version, Stamp: s.RegisteredAt.UnixMicro(),
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
