package consulapi

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
	"github.com/rollcall-sd/rollcall/registry"
)

// start registers the node and adopts what an earlier daemon of this node left.
func (g *agent) start(ctx context.Context) error {
	for {
		err := g.tryStart(ctx)
		if err == nil || !errors.Is(err, registry.ErrUnavailable) {
			return err
		}
		if err := backoff.Sleep(ctx, backoff.Jitter(time.Second, 0.5)); err != nil {
			return err
		}
	}
}

func (g *agent) tryStart(ctx context.Context) error {
	names, err := g.api.config.Backend.Services(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		list, err := g.api.config.Backend.Instances(ctx, name)
		if err != nil {
			return err
		}
		for _, i := range list {
			r, ok := recordOf(i.ServiceInfo)
			if ok && r.Node.Name == g.api.config.Node && r.ID != nodeService && !r.FromCatalog {
				if err := g.adopt(ctx, i, r); err != nil {
					return err
				}
			}
		}
	}
	own := &serviceDefinition{ID: nodeService, Name: nodeService, Port: g.api.config.Port}
	s := &service{id: nodeService, record: own.record(g.own(), nil)}
	if err := s.makeInfo(own); err != nil {
		return err
	}
	s.info.ID, s.info.Version = g.scopedID(nodeService), g.api.config.Version
	done, err := g.takeTurn(ctx, nodeService)
	if err != nil {
		return err
	}
	defer done()
	if g.find(nodeService) != nil {
		return nil
	}
	return g.write(ctx, s, nil, nil)
}

// adopt registers an instance of this node again, with what the backend has of it, so
// that this daemon keeps it alive.
func (g *agent) adopt(ctx context.Context, i registry.Instance, r record) error {
	done, err := g.takeTurn(ctx, r.ID)
	if err != nil {
		return err
	}
	defer done()
	if g.find(r.ID) != nil {
		return nil
	}
	s := &service{id: r.ID, info: i.ServiceInfo, record: r}
	states := decodeNote(i.Note, func(id string) bool {
		return slices.ContainsFunc(r.Checks, func(c checkRecord) bool { return c.ID == id })
	})
	for _, c := range r.Checks {
		s.checks = append(s.checks, c.ID)
		if _, ok := states[c.ID]; !ok {
			states[c.ID] = checkState{Status: "critical"}
		}
	}
	if m, ok := states[maintenanceCheck(r.ID, "").ID]; ok {
		s.maintenance = &m.Output
	}
	if err := g.write(ctx, s, nil, states); err != nil {
		return err
	}
	g.api.config.Logger.Info("adopted a service of this node", "service", s.info.Name, "id", s.id)
	return nil
}
