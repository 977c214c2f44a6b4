package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

// A service's slot moves to another node under traffic. It stays in the migrating
// state for longer than a TTL before its keys move and again after.
//
// Promise 1, kept alive; promise 12, slots moving included: registering,
// discovering and watching work throughout. Only a name without stored data
// waits for the end of the move, because Redis refuses scripts on
// several missing keys of a migrating slot. That is an error, not an empty list.
func TestRunsWhereASlotMoves(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 0)
	cfg := clusterConfig(t, c)
	a, b, reader := open(t, cfg), open(t, cfg), open(t, cfg)
	register(t, a, "web", "a1")
	register(t, b, "web", "b1")
	want := present(t, reader, "web")
	web := watch(t, reader, "web")
	web.await(t, time.Now(), backBy, "the start", is(want))
	key := keyOf(cfg, "web", "h")
	slot, from := c.Slot(key), c.NodeOf(key)
	to := c.Nodes[0]
	if to == from {
		to = c.Nodes[1]
	}
	fresh := nameInSlot(slot)

	began := time.Now()
	hold := func(what string) {
		t.Helper()
		n := 0
		throughout(t, time.Now().Add(2*shortTTL), what, func() error {
			if err := discoversExactly(reader, "web", want)(); err != nil {
				return err
			}
			if n++; n%20 == 0 {
				requireWorking(t, a, reader, web, want)
			}
			return nil
		})
	}
	move := c.BeginMove(slot, from, to)
	hold("migrating, keys not moved")
	if all, err := discover(reader, fresh); !errors.Is(err, registry.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Discover of a new name in the migrating slot: %s, %v", describeInstances(all), err)
	}
	joined := make(chan error, 1)
	go func() {
		_, err := registry.Join(contextFor(t, 30*time.Second), b, service(fresh, "new"))
		joined <- err
	}()
	for move.MoveKeys(100) > 0 {
	}
	hold("migrating, keys moved")
	move.Finish()
	at := time.Now()
	must(t, waittest.Receive(t, joined, "a registration in the moving slot"))
	took := checkBound(t, at, backBy, "a new name in the moving slot")
	figure(t, "Cluster: a new name in a moving slot is there after the move", took)
	hold("moved")
	if err := discovers(reader, fresh, "new")(); err != nil {
		t.Error(err)
	}
	web.requireKept(t, began, "a1", "b1")
	figure(t, "Cluster: slot in the migrating state, nothing lost", time.Since(began))
}

// nameInSlot finds a service name whose keys are in a slot.
func nameInSlot(slot int) string {
	for i := 0; ; i++ {
		if name := fmt.Sprintf("s%d", i); keySlot(name) == slot {
			return name
		}
	}
}

// keySlot is the slot of keys with this hash tag (CRC-16/XMODEM).
func keySlot(tag string) int {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
	}
	return int(crc % 16384)
}
