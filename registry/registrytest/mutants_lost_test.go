package registrytest

import "github.com/rollcall-sd/rollcall/registry"

// notifiesLost is refHarness with another NotifyLost.
func notifiesLost(notify func(m *mutated, id string, lost func(error)) (stop func())) func() Harness {
	return mutate(func(m *mutated) {
		m.notifyLost = func(id string, lost func(error)) func() { return notify(m, id, lost) }
	})
}

var lostMutants = []mutant{
	{"NotifyLost reports a deregistration once", "has not reported", notifiesLost(func(*mutated, string, func(error)) func() { return func() {} })},
	{"NotifyLost reports a deregistration once", "though the registration stands", notifiesLost(func(m *mutated, id string, lost func(error)) func() {
		lost(registry.ErrDeregistered)
		return func() {}
	})},
	{"NotifyLost reports a deregistration once", "a second time", notifiesLost(func(m *mutated, id string, lost func(error)) func() {
		return m.ref.NotifyLost(id, func(err error) { lost(err); lost(err) })
	})},
	{"NotifyLost without a registration reports at once", "has not reported", notifiesLost(func(m *mutated, id string, lost func(error)) func() {
		if id == "unknown" {
			return func() {}
		}
		return m.ref.NotifyLost(id, lost)
	})},
	{"NotifyLost reports nothing once stopped or closed", "after stop", notifiesLost(func(m *mutated, id string, lost func(error)) func() {
		_ = m.ref.NotifyLost(id, lost)
		return func() {}
	})},
	{"NotifyLost reports nothing once stopped or closed", "want an error that matches", notifiesLost(func(m *mutated, id string, lost func(error)) func() {
		return m.ref.NotifyLost(id, func(error) { lost(registry.ErrDeregistered) })
	})},
	{"NotifyLost reports a newer owner", "want an error that matches", notifiesLost(func(m *mutated, id string, lost func(error)) func() {
		return m.ref.NotifyLost(id, func(error) { lost(registry.ErrDeregistered) })
	})},
	{"NotifyLost reports another registry's deregistration", "want an error that matches", notifiesLost(func(m *mutated, id string, lost func(error)) func() {
		return m.ref.NotifyLost(id, func(error) { lost(registry.ErrSuperseded) })
	})},
}
