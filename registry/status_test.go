package registry_test

import (
	"context"
	"errors"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// expectStatus requires that a service has one instance, of that status and note, which
// Discover lists only if the status is callable.
func expectStatus(t *testing.T, b registry.Backend, after string, status registry.Status, note string) {
	t.Helper()
	list, err := b.Instances(t.Context(), "api")
	must(t, err)
	if len(list) != 1 || list[0].Status != status || list[0].Note != note {
		t.Fatalf("after %s the instances are %+v, want one of status %q with note %q", after, list, status, note)
	}
	callable, err := b.Discover(t.Context(), "api")
	must(t, err)
	if want := status != registry.StatusCritical && status != registry.StatusDraining; (len(callable) == 1) != want {
		t.Fatalf("after %s Discover = %v with status %q", after, callable, status)
	}
}

func TestAPassingProbeDoesNotEndADrain(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		ctx, owner, operator := t.Context(), open(), open()
		must(t, owner.Register(ctx, instance("api", "a")))
		expectStatus(t, operator, "Register", registry.StatusPassing, "")
		must(t, operator.SetStatus(ctx, "a", registry.StatusCritical, "disk full"))
		expectStatus(t, operator, "a failed probe", registry.StatusCritical, "disk full")
		must(t, operator.Drain(ctx, "a"))
		expectStatus(t, operator, "Drain", registry.StatusDraining, "disk full")
		must(t, operator.SetStatus(ctx, "a", registry.StatusPassing, ""))
		expectStatus(t, operator, "a passing probe", registry.StatusDraining, "")
		must(t, operator.Undrain(ctx, "a"))
		expectStatus(t, operator, "Undrain", registry.StatusPassing, "")
		must(t, operator.Drain(ctx, "a"))
		must(t, operator.SetStatus(ctx, "a", registry.StatusWarning, ""))
		expectStatus(t, operator, "a warning while draining", registry.StatusDraining, "")
	})
}

func TestADrainSurvivesARepeatedRegistration(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		ctx, owner, operator := t.Context(), open(), open()
		must(t, owner.Register(ctx, instance("api", "a")))
		must(t, operator.Drain(ctx, "a"))
		changed := instance("api", "a")
		changed.Version = "2"
		must(t, owner.Register(ctx, changed))
		expectStatus(t, operator, "a changed registration", registry.StatusDraining, "")
		must(t, operator.Undrain(ctx, "a"))
		expectStatus(t, operator, "Undrain", registry.StatusPassing, "")
	})
}

func TestARegistrationWithAStatusReplacesTheHealth(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		ctx, owner, operator := t.Context(), open(), open()
		must(t, owner.Register(ctx, instance("api", "a")))
		must(t, operator.SetStatus(ctx, "a", registry.StatusWarning, "slow"))
		changed := instance("api", "a")
		changed.Status = registry.StatusPassing
		must(t, owner.Register(ctx, changed))
		expectStatus(t, operator, "a registration as passing", registry.StatusPassing, "")
		changed.Status = registry.StatusDraining
		must(t, owner.Register(ctx, changed))
		expectStatus(t, operator, "a registration as draining", registry.StatusDraining, "")
		must(t, operator.Undrain(ctx, "a"))
		expectStatus(t, operator, "Undrain of that", registry.StatusPassing, "")
	})
}

func TestStatusCallsRefuseUnknownIDsAndStatuses(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		ctx, b := t.Context(), open()
		must(t, b.Register(ctx, instance("api", "a")))
		for _, err := range []error{b.SetStatus(ctx, "b", registry.StatusPassing, ""), b.Drain(ctx, "b"), b.Undrain(ctx, "b")} {
			if !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("unknown ID: %v", err)
			}
		}
		if err := b.SetStatus(ctx, "a", "odd", ""); !errors.Is(err, registry.ErrInvalidService) {
			t.Errorf("unknown status: %v", err)
		}
	})
}

func TestAnIdenticalRegistrationWithAStatusIsARenewal(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		r := open()
		i := instance("api", "a")
		i.Status = registry.StatusPassing
		must(t, r.Register(t.Context(), i))
		must(t, r.Drain(t.Context(), "a"))
		before, err := r.Instances(t.Context(), "api")
		must(t, err)
		must(t, r.Register(t.Context(), i))
		after, err := r.Instances(t.Context(), "api")
		must(t, err)
		if len(after) != 1 || !after[0].RegisteredAt.Equal(before[0].RegisteredAt) || after[0].Revision != before[0].Revision {
			t.Errorf("%+v became %+v", before, after)
		}
	})
}

// Health and a drain each keep their own note, in whichever order they are set.
func TestHealthAndDrainHaveTheirOwnNotes(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		ctx, owner, operator := t.Context(), open(), open()
		must(t, owner.Register(ctx, instance("api", "a")))
		must(t, operator.SetStatus(ctx, "a", registry.StatusCritical, "disk full"))
		must(t, operator.SetStatus(ctx, "a", registry.StatusDraining, "deploy"))
		expectStatus(t, operator, "a drain with a note", registry.StatusDraining, "deploy")
		must(t, operator.Drain(ctx, "a"))
		expectStatus(t, operator, "a Drain while draining", registry.StatusDraining, "deploy")
		must(t, owner.Register(ctx, instance("api", "a")))
		expectStatus(t, operator, "an identical registration", registry.StatusDraining, "deploy")
		changed := instance("api", "a")
		changed.Version = "2"
		must(t, owner.Register(ctx, changed))
		expectStatus(t, operator, "another registration", registry.StatusDraining, "deploy")
		must(t, operator.Undrain(ctx, "a"))
		expectStatus(t, operator, "Undrain", registry.StatusCritical, "disk full")
		must(t, operator.SetStatus(ctx, "a", registry.StatusDraining, "again"))
		must(t, operator.SetStatus(ctx, "a", registry.StatusWarning, "slow"))
		expectStatus(t, operator, "a health check while draining", registry.StatusDraining, "again")
		must(t, operator.Undrain(ctx, "a"))
		expectStatus(t, operator, "the second Undrain", registry.StatusWarning, "slow")
		must(t, operator.Drain(ctx, "a"))
		expectStatus(t, operator, "a Drain without a note", registry.StatusDraining, "slow")
		must(t, operator.SetStatus(ctx, "a", registry.StatusDraining, "third"))
		changed.Status = registry.StatusPassing
		must(t, owner.Register(ctx, changed))
		expectStatus(t, operator, "a registration that sets a status", registry.StatusDraining, "third")
		must(t, operator.Undrain(ctx, "a"))
		expectStatus(t, operator, "the last Undrain", registry.StatusPassing, "")
	})
}

// An instance that Redis lost, or that another owner moved to another name, is live: its
// status can be set, and it can be drained, undrained and deregistered.
func TestStatusOfALostOrMovedInstance(t *testing.T) {
	server := redistest.Start(t)
	open := func() registry.Backend {
		r, err := registry.Open(t.Context(), server.URL()+"?ttl=60s&heartbeat=20s")
		must(t, err)
		t.Cleanup(func() { r.Close() })
		return r
	}
	calls := map[string]func(b registry.Backend, ctx context.Context, id string) error{
		"SetStatus": func(b registry.Backend, ctx context.Context, id string) error {
			return b.SetStatus(ctx, id, registry.StatusWarning, "slow")
		},
		"SetStatus to draining": func(b registry.Backend, ctx context.Context, id string) error {
			return b.SetStatus(ctx, id, registry.StatusDraining, "deploy")
		},
		"Undrain": func(b registry.Backend, ctx context.Context, id string) error { return b.Undrain(ctx, id) },
	}
	status := map[string]registry.Status{"SetStatus": registry.StatusWarning, "SetStatus to draining": registry.StatusDraining, "Undrain": registry.StatusPassing}
	for what, call := range calls {
		t.Run(what+" after a loss", func(t *testing.T) {
			ctx, owner := t.Context(), open()
			must(t, owner.Register(ctx, instance("web", "x")))
			before, err := owner.Discover(ctx, "web")
			must(t, err)
			must(t, server.Client(t).FlushAll(ctx).Err())
			must(t, call(owner, ctx, "x"))
			list, err := owner.Instances(ctx, "web")
			must(t, err)
			if len(list) != 1 || list[0].Status != status[what] || !list[0].RegisteredAt.Equal(before[0].RegisteredAt) {
				t.Errorf("the instances are %+v, want x as registered, and %s", list, status[what])
			}
			must(t, owner.Deregister(ctx, "x"))
		})
		t.Run(what+" after a move", func(t *testing.T) {
			ctx, earlier, later := t.Context(), open(), open()
			must(t, earlier.Register(ctx, instance("web", "x")))
			must(t, later.Register(ctx, instance("web2", "x")))
			must(t, call(earlier, ctx, "x"))
			list, err := earlier.Instances(ctx, "web2")
			must(t, err)
			if len(list) != 1 || list[0].Status != status[what] {
				t.Errorf("the instances are %+v, want x, %s", list, status[what])
			}
			must(t, later.Deregister(ctx, "x"))
		})
	}
}
