package health_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
)

// An answer after Timeout is none, also from a probe that does not obey its
// context: the instance turns critical in time, and no two probes of it overlap.
func TestALateAnswerIsCritical(t *testing.T) {
	for name, late := range map[string]time.Duration{"soon after": 10 * time.Millisecond, "long after": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				running := 0
				options := settings{Interval: time.Second, Timeout: time.Second, Fall: 1, Logger: quiet, Probes: map[string]health.Probe{
					"slow": func(context.Context, health.Target) health.Result {
						if running++; running > 1 {
							t.Error("two probes of one instance run at once")
						}
						defer func() { running-- }()
						time.Sleep(time.Second + late)
						return health.Passing("fine")
					},
				}}
				c := check(t, registry.NewLocalRegistry(), options)
				defer c.Close()
				must(t, c.Register(t.Context(), probed("a", "slow:")))
				time.Sleep(1100 * time.Millisecond)
				synctest.Wait()
				list, err := c.Instances(t.Context(), "api")
				must(t, err)
				if list[0].Status != cri || list[0].Note != "no answer in time" {
					t.Errorf("100 ms after Timeout the status is %q, note %q", list[0].Status, list[0].Note)
				}
				time.Sleep(10 * time.Second)
			})
		})
	}
}

// A probe whose context ends may say where it was stuck.
func TestAProbeSaysWhereItWasStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := settings{Timeout: time.Second, Fall: 1, Logger: quiet, Probes: map[string]health.Probe{
			"slow": func(ctx context.Context, _ health.Target) health.Result {
				<-ctx.Done()
				return health.Critical("stuck in the handshake")
			},
		}}
		c := check(t, registry.NewLocalRegistry(), options)
		defer c.Close()
		must(t, c.Register(t.Context(), probed("a", "slow:")))
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		list, err := c.Instances(t.Context(), "api")
		must(t, err)
		if list[0].Note != "stuck in the handshake" {
			t.Errorf("the note is %q", list[0].Note)
		}
	})
}
