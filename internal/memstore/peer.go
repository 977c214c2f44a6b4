package memstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Peer is a store that shares a Store's memory, as another owner. Its records expire
// unless they are renewed. It is a store.WatcherLeases.
type Peer struct {
	m           *memory
	owner, name string
	closed      atomic.Bool
	seq         atomic.Uint64

	mu          sync.Mutex
	renewedRevs map[string]string // per service, as of a renewal that found all of this owner's leases
}

// Share implements store.SharedLocal.
func (s *Store) Share(owner, name string) (store.Store, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.closed {
		return nil, store.ErrClosed
	}
	s.m.share()
	return &Peer{m: s.m, owner: owner, name: name, renewedRevs: make(map[string]string)}, nil
}

// share keeps evidence from now on. The revisions of the services there are are not in
// the log, so that readers get whole states first.
func (m *memory) share() { m.shared = true }

func (p *Peer) check(ctx context.Context) error {
	if p.closed.Load() {
		return store.ErrClosed
	}
	return p.m.check(ctx)
}

// call begins a call. The caller holds m.mu.
func (p *Peer) call(ctx context.Context) call {
	return call{callID: callID{p.owner, store.NextNumber(ctx, &p.seq)}, by: p.name, now: p.m.now()}
}

// Put implements store.Store.
func (p *Peer) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	results := make([]store.PutResult, len(puts))
	decoded := make([]any, len(puts))
	for i, put := range puts {
		if p.m.companion == nil {
			break // no one reads what is decoded
		}
		// Readers of the Local store get this value.
		value, err := p.m.companion.Decode(put.Service, &store.Record{ID: put.ID, Owner: p.owner, Payload: put.Payload})
		if err != nil {
			results[i].Err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		decoded[i] = value
	}
	p.m.mu.Lock()
	defer p.m.unlock()
	for i, put := range puts {
		if err := p.check(ctx); err != nil {
			results[i].Err = err
		}
		c := p.call(ctx)
		if results[i].Err != nil {
			continue
		}
		put.Decoded = decoded[i]
		results[i] = p.m.put(c, &put, true)
	}
	return results
}

// Renew implements store.Store.
func (p *Peer) Renew(ctx context.Context, leases []store.ServiceLeases) []store.Renewal {
	renewals := make([]store.Renewal, len(leases))
	p.m.mu.Lock()
	defer p.m.unlock()
	for i := range leases {
		if err := p.check(ctx); err != nil {
			renewals[i].Err = err
			continue
		}
		renewals[i] = p.m.renew(p.owner, &leases[i], p.m.now())
		p.forgetKnown(leases[i].Service, &renewals[i])
	}
	return renewals
}

// forgetKnown removes what the owner knows already, because nothing in the service has
// changed since its last renewal. The caller holds m.mu.
func (p *Peer) forgetKnown(service string, r *store.Renewal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rev := ""
	if s := p.m.services[service]; s != nil {
		rev = s.rev
	}
	if len(r.Outcomes) > 0 {
		delete(p.renewedRevs, service)
		return
	}
	if rev != "" && p.renewedRevs[service] == rev {
		r.Outcomes, r.Overlays = nil, nil
	}
	p.renewedRevs[service] = rev
}

// Remove implements store.Store.
func (p *Peer) Remove(ctx context.Context, r store.Removal) (store.RemoveResult, error) {
	p.m.mu.Lock()
	defer p.m.unlock()
	if err := p.check(ctx); err != nil {
		return store.RemoveResult{}, err
	}
	return p.m.remove(p.call(ctx), r), nil
}

// PatchOverlay implements store.Store.
func (p *Peer) PatchOverlay(ctx context.Context, patch store.OverlayPatch) (store.PatchResult, error) {
	p.m.mu.Lock()
	defer p.m.unlock()
	if err := p.check(ctx); err != nil {
		return store.PatchResult{}, err
	}
	return p.m.patchOverlay(p.call(ctx), patch), nil
}

// Events implements store.Store.
func (p *Peer) Events(ctx context.Context, service string) ([]store.Event, error) {
	if p.closed.Load() {
		return nil, store.ErrClosed
	}
	return p.m.events(ctx, service)
}

// Read implements store.Store.
func (p *Peer) Read(service string, known store.KnownState, done func(store.Reading, error)) {
	p.m.mu.Lock()
	err := p.check(context.Background())
	var r store.Reading
	if err == nil {
		r = p.m.read(service, known)
	}
	p.m.unlock()
	done(r, err)
}

// Watch implements store.Store. Its notices are what changed.
func (p *Peer) Watch(service string, notify func(store.Notice)) (stop func()) {
	return p.m.watch(service, &watcher{notify: notify})
}

// Close implements store.Store. The memory stays.
func (p *Peer) Close() error {
	p.closed.Store(true)
	return nil
}
