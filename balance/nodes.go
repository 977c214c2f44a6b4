package balance

import (
	"time"

	"github.com/rollcall-sd/rollcall/internal/selector"
	"github.com/rollcall-sd/rollcall/registry"
)

// nodeKey tells nodes apart: an instance that moves to another address has other
// connections, and a new ID at an old address is another process.
type nodeKey struct{ id, address string }

// take makes the newest set of a snapshot and returns the nodes that left.
func (b *Balancer) take(snap *registry.Snapshot) []*node {
	b.generation++
	var chosen []endpoint
	instances := selector.NewestPerAddress(snap)
	b.mu.Lock()
	for i := range instances {
		if info := &instances[i]; b.config.selection.Matches(info) {
			chosen = append(chosen, endpoint{node: b.nodeOf(info), info: info, weight: max(int64(info.Weight), 1)})
		}
	}
	b.mu.Unlock()
	return b.publish(newSet(snap, chosen, &b.config))
}

// nodeOf returns the node of an instance that will be in the next set. The
// caller holds the mutex.
func (b *Balancer) nodeOf(info *registry.ServiceInfo) *node {
	key := nodeKey{info.ID, info.HostPort()}
	n := b.nodes[key]
	switch {
	case n == nil:
		n = &node{owner: b, id: key.id, address: key.address}
		b.nodes[key] = n
	case n.gone.Load() || !n.registered.Equal(info.RegisteredAt):
		n.gone.Store(false)
		if n.until.Load() != 0 {
			n.until.Store(longAgo) // it may be another process: one request tries it
		}
	}
	n.registered, n.generation = info.RegisteredAt, b.generation
	return n
}

// longAgo is the earliest time.
const longAgo = 1

// publish replaces the current set and returns the nodes that left with it. A
// pick that chose a node of the old set sees that it is gone, or is in flight by
// now.
func (b *Balancer) publish(s *set) (left []*node) {
	close(b.current.Swap(s).changed)
	b.mu.Lock()
	for _, n := range b.nodes {
		if n.generation != b.generation && !n.gone.Swap(true) {
			left = append(left, n)
		}
	}
	b.mu.Unlock()
	for _, n := range left {
		b.forget(n)
	}
	return left
}

// forget removes a node that left if nothing is in flight to it, and closes the
// connections that no request uses, now and once the last requests have settled.
// Those still in use net/http closes when they become idle.
func (b *Balancer) forget(n *node) {
	b.closeLeft(n)
	if n.transport.Load() != nil {
		time.AfterFunc(settleTime, func() { b.closeLeft(n) })
	}
}

// closeLeft does nothing if the node is back.
func (b *Balancer) closeLeft(n *node) {
	c := n.transport.Load()
	b.mu.Lock()
	left := n.gone.Load()
	if left && n.inflight.Load() == 0 {
		if key := (nodeKey{n.id, n.address}); b.nodes[key] == n {
			delete(b.nodes, key)
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
	for _, n := range b.nodes {
		if c := n.transport.Load(); c != nil {
			all = append(all, c)
		}
	}
	b.mu.Unlock()
	for _, c := range all {
		c.closeIdle()
	}
}
