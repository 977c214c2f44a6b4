package balance

import (
	"time"

	"github.com/rollcall-sd/rollcall/internal/selector"
	"github.com/rollcall-sd/rollcall/registry"
)

// upstreamKey tells upstreams apart: an instance that moves to another address has other
// connections, and a new ID at an old address is another process.
type upstreamKey struct{ id, address string }

// apply makes the candidates of a snapshot the current ones and returns the
// upstreams that left.
func (b *Balancer) apply(snap *registry.Snapshot) []*upstream {
	b.generation++
	var chosen []endpoint
	instances := selector.NewestPerAddress(snap)
	b.mu.Lock()
	for i := range instances {
		if info := &instances[i]; b.config.selection.Matches(info) {
			chosen = append(chosen, endpoint{upstream: b.upstreamOf(info), info: info, weight: max(int64(info.Weight), 1)})
		}
	}
	b.mu.Unlock()
	return b.publish(newCandidates(snap, chosen, &b.config))
}

// upstreamOf returns the upstream of an instance among the next candidates. The
// caller holds the mutex.
func (b *Balancer) upstreamOf(info *registry.ServiceInfo) *upstream {
	key := upstreamKey{info.ID, info.HostPort()}
	n := b.upstreams[key]
	switch {
	case n == nil:
		n = &upstream{owner: b, id: key.id, address: key.address}
		b.upstreams[key] = n
	case n.gone.Load() || !n.registered.Equal(info.RegisteredAt):
		n.gone.Store(false)
		if n.ejectedUntil.Load() != 0 {
			n.ejectedUntil.Store(earliest) // it may be another process: probe it at once
		}
	}
	n.registered, n.generation = info.RegisteredAt, b.generation
	return n
}

// earliest is the earliest time.
const earliest = 1

// publish replaces the current candidates and returns the upstreams that left. A
// pick that chose an upstream of the old ones sees that it is gone, or is in flight by
// now.
func (b *Balancer) publish(s *candidates) (left []*upstream) {
	close(b.current.Swap(s).changed)
	b.mu.Lock()
	for _, n := range b.upstreams {
		if n.generation != b.generation && !n.gone.Swap(true) {
			left = append(left, n)
		}
	}
	b.mu.Unlock()
	for _, n := range left {
		b.remove(n)
	}
	return left
}

// remove removes an upstream that left if nothing is in flight to it, and closes the
// connections that no request uses, now and once the last requests have settled.
// Those still in use net/http closes when they become idle.
func (b *Balancer) remove(n *upstream) {
	b.closeLeft(n)
	if n.transport.Load() != nil {
		time.AfterFunc(settleTime, func() { b.closeLeft(n) })
	}
}

// closeLeft does nothing if the upstream is back.
func (b *Balancer) closeLeft(n *upstream) {
	c := n.transport.Load()
	b.mu.Lock()
	left := n.gone.Load()
	if left && n.inflight.Load() == 0 {
		if key := (upstreamKey{n.id, n.address}); b.upstreams[key] == n {
			delete(b.upstreams, key)
		}
		if c != nil {
			c.closeShared() // under the mutex: it cannot come back meanwhile
		}
	}
	b.mu.Unlock()
	if left && c != nil {
		c.CloseIdleConnections()
	}
}

// closeIdle closes all connections that no request uses.
func (b *Balancer) closeIdle() {
	var all []*connections
	b.mu.Lock()
	for _, n := range b.upstreams {
		if c := n.transport.Load(); c != nil {
			all = append(all, c)
		}
	}
	b.mu.Unlock()
	for _, c := range all {
		c.closeIdle()
	}
}
