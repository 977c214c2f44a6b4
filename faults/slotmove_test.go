package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/testredis"
	"github.com/rollcall-sd/rollcall/registry"
)

// A service's slot moves to another node under traffic. It stays in the migrating
// state for longer than a TTL before its keys move and again after.
//
// Promise 1, kept alive; promise 12, slots moving included: registering,
// discovering and watching go on throughout, also for a name that is new.
func TestSlotMovesUnderTraffic(t *testing.T) {
	t.Parallel()
	c := testredis.StartCluster(t, 3, 0)
	cfg := clustered(t, c)
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
	fresh := namesInSlot(t, cfg, slot, 2)

	began := time.Now()
	hold := func(what string) {
		t.Helper()
		n := 0
		throughout(t, time.Now().Add(2*shortTTL), what, func() error {
			if err := lists(reader, "web", want)(); err != nil {
				return err
			}
			if n++; n%20 == 0 {
				goesOn(t, a, reader, web, want)
			}
			return nil
		})
	}
	firstly := func(name string) {
		t.Helper()
		register(t, b, name, name+"-1")
		newcomers := present(t, reader, name)
		w := watch(t, reader, name)
		w.await(t, time.Now(), backBy, "a new name", with(name+"-1"))
		goesOn(t, b, reader, w, newcomers)
	}
	move := c.BeginMove(slot, from, to)
	hold("migrating, keys not moved")
	firstly(fresh[0])
	for move.MoveKeys(100) > 0 {
	}
	hold("migrating, keys moved")
	firstly(fresh[1])
	move.Finish()
	hold("moved")
	for _, name := range fresh {
		if err := discovers(reader, name, name+"-1")(); err != nil {
			t.Error(err)
		}
	}
	web.kept(t, began, "a1", "b1")
	figure(t, "Cluster: slot in the migrating state, nothing lost", time.Since(began))
}

// namesInSlot finds service names whose keys are in a slot.
func namesInSlot(t testing.TB, cfg registry.RedisRegistryConfig, slot, n int) []string {
	t.Helper()
	var out []string
	for i := 0; len(out) < n; i++ {
		if name := fmt.Sprintf("s%d", i); keySlot(name) == slot {
			out = append(out, name)
		}
	}
	return out
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
