package redistest

import (
	"context"
	"fmt"
)

// SlotMove is a slot on its way from one primary to another. Between BeginMove
// and Finish the slot is migrating: keys not moved yet are served by the old
// primary, moved and new ones by the other after an ASK redirection.
type SlotMove struct {
	c        *Cluster
	slot     int
	from, to *Server
}

// BeginMove puts a slot into the migrating state; no key moves yet.
func (c *Cluster) BeginMove(slot int, from, to *Server) *SlotMove {
	c.t.Helper()
	m := &SlotMove{c: c, slot: slot, from: from, to: to}
	to.must("CLUSTER", "SETSLOT", slot, "IMPORTING", from.must("CLUSTER", "MYID"))
	from.must("CLUSTER", "SETSLOT", slot, "MIGRATING", to.must("CLUSTER", "MYID"))
	return m
}

// MoveKeys moves up to n keys and returns how many it found to move.
func (m *SlotMove) MoveKeys(n int) int {
	m.c.t.Helper()
	keys, ok := m.from.must("CLUSTER", "GETKEYSINSLOT", m.slot, n).([]any)
	if !ok || len(keys) == 0 {
		return 0
	}
	host, port := m.to.hostPort()
	args := []any{"MIGRATE", host, port, "", 0, callTimeout.Milliseconds()}
	if password := m.from.opts.password; password != "" {
		args = append(args, "AUTH", password)
	}
	m.from.must(append(append(args, "KEYS"), keys...)...)
	return len(keys)
}

// Finish moves the keys that are left, hands the slot over and waits until every
// running node knows.
func (m *SlotMove) Finish() {
	m.c.t.Helper()
	for m.MoveKeys(100) > 0 {
	}
	id := m.to.must("CLUSTER", "MYID")
	// The new owner first, so that the slot always has an owner.
	m.to.must("CLUSTER", "SETSLOT", m.slot, "NODE", id)
	m.from.must("CLUSTER", "SETSLOT", m.slot, "NODE", id)
	err := within(topologyTimeout, func(context.Context) error {
		for _, n := range m.c.Nodes {
			if n.current().gone() {
				continue
			}
			table, err := n.nodes()
			if err != nil {
				return err
			}
			if !table[m.to.Addr()].owns(m.slot) {
				return fmt.Errorf("node %s has not heard that slot %d moved", n.Addr(), m.slot)
			}
		}
		return nil
	})
	if err != nil {
		m.c.t.Fatal(err)
	}
}

// MigrateSlot moves a slot and its keys at once.
func (c *Cluster) MigrateSlot(slot int, from, to *Server) {
	c.t.Helper()
	c.BeginMove(slot, from, to).Finish()
}
