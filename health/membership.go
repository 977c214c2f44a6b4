package health

import (
	"context"
	"errors"

	"github.com/rollcall-sd/rollcall/registry"
)

// membership is a registration of which one is told when it is lost.
type membership struct{ *registry.Membership }

// join registers once.
func join(ctx context.Context, backend registry.Backend, service registry.ServiceInfo) (membership, error) {
	m, err := registry.Join(ctx, joinOnly{backend}, service)
	var refused *refusal
	if errors.As(err, &refused) {
		err = refused.err
	}
	return membership{m}, err
}

// forget ends the listening for a loss, and no more: joinOnly leaves nothing.
func (m membership) forget() { _ = m.Leave(context.Background()) }

func (m membership) lost() bool {
	select {
	case <-m.Lost():
		return true
	default:
		return false
	}
}

// joinOnly is a backend as a membership is to see it: a Register that failed is
// not tried again, which is the caller's affair, and leaving does nothing to
// the instance.
type joinOnly struct{ registry.Backend }

// refusal hides from Join what kind of error it holds.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }

func (j joinOnly) Register(ctx context.Context, service registry.ServiceInfo) error {
	if err := j.Backend.Register(ctx, service); err != nil {
		return &refusal{err}
	}
	return nil
}

func (joinOnly) Deregister(context.Context, string) error { return nil }
func (joinOnly) Drain(context.Context, string) error      { return nil }
func (joinOnly) Undrain(context.Context, string) error    { return nil }

func (joinOnly) SetStatus(context.Context, string, registry.Status, string) error { return nil }
