package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Two processes register the same IDs under two names at once. Each ID then
// is only under the name of the later registration, and the other process reports
// its loss. Of two calls of one process neither reports a loss.
//
// Promise 5: the newest owner wins.
func TestClusterOneIDUnderTwoNamesAtOnce(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 0)
	cfg := clusterConfig(t, c)
	one, other, reader := open(t, cfg), open(t, cfg), open(t, cfg)
	const rounds = 60
	for kind, second := range map[string]*registry.RedisRegistry{"processes": other, "calls": one} {
		t.Run("two "+kind, func(t *testing.T) {
			names := [2]string{kind + "-a", kind + "-b"}
			id := func(n int) string { return fmt.Sprint(kind, "-", n) }
			var members [2][rounds]*registry.Membership
			var joining sync.WaitGroup
			for n := range rounds {
				for i, r := range []*registry.RedisRegistry{one, second} {
					joining.Go(func() {
						m, err := registry.Join(context.Background(), r, service(names[i], id(n)))
						if err != nil {
							t.Errorf("join %s in %s: %v", id(n), names[i], err)
						}
						members[i][n] = m
					})
				}
			}
			joining.Wait()
			if t.Failed() {
				return
			}
			began := time.Now()
			within(t, began, backBy, "each ID is under one name", func() error {
				both, neither, untold := 0, 0, 0
				a, errA := discover(reader, names[0])
				b, errB := discover(reader, names[1])
				inA, inB := idsOf(a), idsOf(b)
				for n := range rounds {
					in := [2]bool{slices.Contains(inA, id(n)), slices.Contains(inB, id(n))}
					switch {
					case in[0] && in[1]:
						both++
					case !in[0] && !in[1]:
						neither++
					case second != one:
						for i := range in {
							if lost := errors.Is(members[i][n].Err(), registry.ErrSuperseded); lost == in[i] {
								untold++
							}
						}
					}
				}
				if both+neither+untold > 0 || errA != nil || errB != nil {
					return fmt.Errorf("of %d IDs %d are under both names and %d under neither, %d owners have not reported their loss (%v, %v)",
						rounds, both, neither, untold, errA, errB)
				}
				return nil
			})
		})
	}
}
