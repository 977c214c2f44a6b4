package registry_test

import (
	"context"
	"errors"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

// lossOf returns a channel that receives what NotifyLost reports of an ID.
func lossOf(b registry.Backend, id string) (lost <-chan error, stop func()) {
	reports := make(chan error, 8)
	return reports, b.NotifyLost(id, func(err error) { reports <- err })
}

func wantLoss(t *testing.T, lost <-chan error, want error) {
	t.Helper()
	if err := waittest.Receive(t, lost, "a loss to be reported"); !errors.Is(err, want) {
		t.Errorf("the registration was lost with %v, want %v", err, want)
	}
}

func wantNoLoss(t *testing.T, lost <-chan error) {
	t.Helper()
	select {
	case err := <-lost:
		t.Errorf("reported %v, want nothing", err)
	default:
	}
}

func TestNotifyLostReportsADeregistrationOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		owner, operator := open(), open()
		must(t, owner.Register(t.Context(), instance("api", "a")))
		lost, stop := lossOf(owner, "a")
		defer stop()
		wantNoLoss(t, lost)
		must(t, operator.Deregister(t.Context(), "a"))
		wantLoss(t, lost, registry.ErrDeregistered)
		must(t, owner.Register(t.Context(), instance("api", "a")))
		must(t, owner.Deregister(t.Context(), "a"))
		wantNoLoss(t, lost)
	})
}

func TestNotifyLostReportsASupersession(t *testing.T) {
	eachBackend(t, func(t *testing.T, open func() registry.Backend) {
		owner, other := open(), open()
		must(t, owner.Register(t.Context(), instance("api", "a")))
		lost, stop := lossOf(owner, "a")
		defer stop()
		if owner == other { // in memory there is one owner
			registrytest.NewFlaky(owner).Supersede("a")
		} else {
			newer := instance("api", "a")
			newer.Port = 81
			must(t, other.Register(t.Context(), newer))
		}
		wantLoss(t, lost, registry.ErrSuperseded)
	})
}

func TestNotifyLostOfNoRegistrationReportsAtOnce(t *testing.T) {
	r := registry.NewLocalRegistry()
	defer r.Close()
	lost, stop := lossOf(r, "unknown")
	stop()
	wantLoss(t, lost, registry.ErrDeregistered)
}

func TestNotifyLostReportsNothingOnceStoppedOrClosed(t *testing.T) {
	r := registry.NewLocalRegistry()
	must(t, r.Register(t.Context(), instance("api", "a")))
	must(t, r.Register(t.Context(), instance("api", "b")))
	stopped, stop := lossOf(r, "a")
	stop()
	must(t, r.Deregister(t.Context(), "a"))
	wantNoLoss(t, stopped)
	closed, stop := lossOf(r, "b")
	defer stop()
	must(t, r.Close())
	wantNoLoss(t, closed)
}

// Decorators at any depth pass the notification on.
func TestNotifyLostThroughDecorators(t *testing.T) {
	c := registry.NewCachedRegistry(decorated{registrytest.NewFlaky(registry.NewLocalRegistry())})
	defer c.Close()
	must(t, c.Register(t.Context(), instance("api", "a")))
	lost, stop := lossOf(c, "a")
	defer stop()
	must(t, c.Deregister(t.Context(), "a"))
	wantLoss(t, lost, registry.ErrDeregistered)
}

// decorated is a decorator that assigns IDs.
type decorated struct{ registry.Backend }

func (d decorated) Register(ctx context.Context, service registry.ServiceInfo) error {
	ctx, err := registry.AssignID(ctx, &service)
	if err != nil {
		return err
	}
	return d.Backend.Register(ctx, service)
}
