package supervise

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// maxConnectPause is the greatest pause before Connect is called again.
const maxConnectPause = time.Second

// registering is a registration under way.
type registering struct {
	done       chan struct{} // closed when the rest is set
	membership *registry.Membership
	err        error
}

// register registers the instance when the port answers and the backend can be
// reached. It ends with ctx. Until done is closed it owns r.backend and r.Service.
func (r *runner) register(ctx context.Context) *registering {
	reg := &registering{done: make(chan struct{})}
	go func() {
		defer close(reg.done)
		reg.membership, reg.err = r.join(ctx)
	}()
	return reg
}

func (r *runner) join(ctx context.Context) (*registry.Membership, error) {
	address, err := r.probe.await(ctx, r.StartTimeout)
	if err != nil {
		return nil, err
	}
	r.Service.Address = address
	if ip, err := netip.ParseAddr(address); err == nil && ip.IsLoopback() && address != r.probe.given && address != r.probe.advertised {
		r.Log("the command listens on %s only, which other machines cannot reach", address)
	}
	for r.backend == nil {
		backend, err := r.Connect(ctx)
		switch {
		case err == nil:
			r.backend = backend
			continue
		case !errors.Is(err, registry.ErrUnavailable):
			return nil, err
		}
		pause := time.NewTimer(maxConnectPause/2 + rand.N(maxConnectPause/2))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil, ctx.Err()
		}
	}
	return registry.Join(ctx, r.backend, r.Service)
}

// leave drains and deregisters the instance while the command still runs. It ends
// early if the command dies or another signal to stop arrives.
func (r *runner) leave(reg *registering) {
	<-reg.done
	if reg.membership == nil {
		r.remove(reg)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	left := make(chan error, 1)
	go func() { left <- reg.membership.Leave(ctx) }()
	for {
		select {
		case err := <-left:
			if err != nil {
				r.Log("leave: %v; the instance expires with its TTL", err)
				return
			}
			r.Log("deregistered %s of %s", r.Service.ID, r.Service.Name)
			return
		case <-r.process.exited:
			cancel()
			<-left
			r.remove(reg)
			return
		case s := <-r.Signals:
			if s != os.Interrupt && s != terminate {
				r.process.signal(s)
				continue
			}
			cancel()
			<-left
			r.remove(reg)
			return
		}
	}
}

// remove deregisters the instance without a drain: its command has died, or its
// registration was given up and may have reached the backend nevertheless.
func (r *runner) remove(reg *registering) {
	<-reg.done
	if r.backend == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	if err := r.backend.Deregister(ctx, r.Service.ID); err != nil {
		r.Log("%v; the instance expires with its TTL", err)
		return
	}
	if reg.membership != nil {
		r.Log("deregistered %s of %s", r.Service.ID, r.Service.Name)
	}
}

func (r *runner) close() error {
	if r.backend == nil {
		return nil
	}
	return r.backend.Close()
}
