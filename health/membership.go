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
	m, err := registry.Join(ctx, once{backend}, service)
	var refused *refusal
	if errors.As(err, &refused) {
		err = refused.err
	}
	return membership{m}, err
}

// forget ends the listening for a loss, and no more: once deregisters nothing.
func (m membership) forget() { _ = m.Leave(context.Background()) }

func (m membership) lost() bool {
	select {
	case <-m.Lost():
		return true
	default:
		return false
	}
}

// once is a backend as Join is to see it: a Register that failed is not tried
// again, which is the caller's affair, and leaving deregisters nothing.
type once struct{ registry.Backend }

// refusal hides from Join what kind of error it holds.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }

func (o once) Register(ctx context.Context, service registry.ServiceInfo) error {
	if err := o.Backend.Register(ctx, service); err != nil {
		return &refusal{err}
	}
	return nil
}

func (once) Deregister(context.Context, string) error { return nil }
