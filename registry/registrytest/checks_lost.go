package registrytest

import (
	"errors"
	"fmt"

	"github.com/rollcall-sd/rollcall/registry"
)

var lostChecks = []check{
	{name: "NotifyLost reports a deregistration once", needs: backend, run: lostDeregistered},
	{name: "NotifyLost without a registration reports at once", needs: backend, run: lostAlready},
	{name: "NotifyLost reports nothing once stopped or closed", needs: backend, run: lostStopped},
	{name: "NotifyLost reports a newer owner", needs: backend | shared, run: lostSuperseded},
	{name: "NotifyLost reports another registry's deregistration", needs: backend | shared, run: lostDeregisteredElsewhere},
}

// reports receives what NotifyLost reports.
type reports chan error

func notifyLost(b registry.Backend, id string) (r reports, stop func()) {
	r = make(reports, 8)
	return r, b.NotifyLost(id, func(err error) { r <- err })
}

// due requires a report that matches want.
func (r reports) due(e *env, want error) {
	e.Helper()
	e.within(e.seen(), func() error {
		select {
		case err := <-r:
			if !errors.Is(err, want) {
				e.Fatalf("NotifyLost reports %v, want an error that matches %q", err, want)
			}
			return nil
		default:
			return fmt.Errorf("NotifyLost has not reported %q", want)
		}
	})
}

// none requires that there is no report.
func (r reports) none(e *env, why string) {
	e.Helper()
	e.throughout(e.quiet(), func() error {
		select {
		case err := <-r:
			return fmt.Errorf("NotifyLost reports %w %s", err, why)
		default:
			return nil
		}
	})
}

func lostDeregistered(e *env) {
	r := e.openBackend()
	e.register(r, instance("api", "a"))
	lost, stop := notifyLost(r, "a")
	defer stop()
	lost.none(e, "though the registration stands")
	e.deregister(r, "a")
	lost.due(e, registry.ErrDeregistered)
	e.register(r, instance("api", "a"))
	e.deregister(r, "a")
	lost.none(e, "a second time")
}

func lostAlready(e *env) {
	lost, stop := notifyLost(e.openBackend(), "unknown")
	defer stop()
	lost.due(e, registry.ErrDeregistered)
}

func lostStopped(e *env) {
	r := e.openBackend()
	e.register(r, instance("api", "a"), instance("api", "b"))
	lost, stop := notifyLost(r, "a")
	stop()
	e.deregister(r, "a")
	lost.none(e, "after stop")
	lost, stop = notifyLost(r, "b")
	defer stop()
	e.close(r)
	lost.none(e, "because of Close")
	lost, stop = notifyLost(r, "b")
	defer stop()
	lost.due(e, registry.ErrClosed)
}

func lostSuperseded(e *env) {
	earlier, later := e.openBackend(), e.openBackend()
	e.register(earlier, at("api", "a", 1))
	lost, stop := notifyLost(earlier, "a")
	defer stop()
	e.register(later, at("api", "a", 2))
	lost.due(e, registry.ErrSuperseded)
}

func lostDeregisteredElsewhere(e *env) {
	owner, operator := e.openBackend(), e.openBackend()
	e.register(owner, instance("api", "a"))
	lost, stop := notifyLost(owner, "a")
	defer stop()
	e.deregister(operator, "a")
	lost.due(e, registry.ErrDeregistered)
}
