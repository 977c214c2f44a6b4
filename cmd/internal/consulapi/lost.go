package consulapi

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
	"github.com/rollcall-sd/rollcall/registry"
)

// lost is called when another process took over a service's ID in the backend, or
// deregistered it.
func (g *agent) lost(s *service, why error) {
	if errors.Is(why, registry.ErrClosed) {
		return
	}
	for try := 0; ; try++ {
		err := g.recover(s, why)
		if err == nil || g.api.ctx.Err() != nil {
			return
		}
		if backoff.Sleep(g.api.ctx, backoff.Jitter(time.Second, 0.5)) != nil {
			return
		}
	}
}

// recover registers a service under an ID of its own if an instance of another node
// took its ID. Otherwise it is no longer this daemon's, as what catalog/register wrote
// through another daemon.
func (g *agent) recover(s *service, why error) error {
	ctx, cancel := g.callContext()
	defer cancel()
	done, err := g.takeTurn(ctx, s.id)
	if err != nil {
		return err
	}
	defer done()
	if g.find(s.id) != s {
		return nil
	}
	logger := g.api.config.Logger.With("service", s.info.Name, "id", s.id)
	if errors.Is(why, registry.ErrSuperseded) && !s.record.FromCatalog && !strings.HasSuffix(s.info.ID, "@"+g.api.config.Node) {
		byNode, err := g.holder(ctx, s.info.ID)
		if err != nil {
			return err
		}
		if byNode != g.api.config.Node {
			logger.Info("another node has an instance with this ID; registering under an ID with the node's name", "node", byNode)
			next := *s
			next.info.ID, next.stopNotify = g.scopedID(s.id), nil
			return g.write(ctx, &next, nil, g.statesOf(s))
		}
	}
	logger.Warn("a service was taken over or deregistered by another process and is no longer kept alive here", "error", why)
	g.forget(s)
	return nil
}

// holder returns the node of the instance that has an ID in the backend, "" for none or
// one without a daemon.
func (g *agent) holder(ctx context.Context, id string) (node string, err error) {
	names, err := g.api.config.Backend.Services(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		list, err := g.api.config.Backend.Instances(ctx, name)
		if err != nil {
			return "", err
		}
		for _, i := range list {
			if i.ID == id {
				r, _ := recordOf(i.ServiceInfo)
				return r.Node.Name, nil
			}
		}
	}
	return "", nil
}
