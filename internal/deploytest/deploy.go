package deploytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rollcall-sd/rollcall/internal/freeport"
	"github.com/rollcall-sd/rollcall/registry"
)

// Plan is a deploy.
type Plan struct {
	URL     string // of the registry
	Servers int    // at least 2
	Clients int
	Rounds  int // at least 1; in each, every server is restarted once
	Way     Way
}

// Ways are plans of each way a server may end, on a registry's URL. The proper
// one is repeated, in a soak more often.
func Ways(url string) []Plan {
	var plans []Plan
	for _, way := range []Way{Leave, Sleep, Stop} {
		plan := Plan{
			URL:     url + "?ttl=3s&heartbeat=1s&namespace=" + string(way[:4]),
			Servers: 2, Clients: 8, Rounds: 1, Way: way,
		}
		if way == Leave {
			plan.Rounds = 20
			if os.Getenv("ROLLCALL_SOAK") != "" {
				plan.Rounds = 200
			}
		}
		plans = append(plans, plan)
	}
	return plans
}

// Result is the result of a deploy.
type Result struct {
	Restarts         int
	Requests, Failed int
	Errors           []string      // some of them
	Stop             time.Duration // what a server took to end, on average
}

const service = "deployed"

// slot is the place of one server, which has two ports.
type slot struct {
	name    string
	ports   [2]int
	turn    int // of the ports
	version int
	server  *process
}

type deploy struct {
	plan  Plan
	slots []*slot
	all   []*process
	locks []io.Closer
}

// Run runs a plan. In one round a server is replaced in place: it ends,
// and its successor starts with the same ID on the same port. In the next its
// successor, with another ID and port, serves before it ends. A server has
// answered requests before it is replaced. No process is left when Run returns.
func Run(ctx context.Context, p Plan) (Result, error) {
	d := &deploy{plan: p}
	defer d.clean()
	r, err := d.run(ctx)
	if err != nil {
		return r, fmt.Errorf("deploy (%s): %w", p.Way, err)
	}
	return r, nil
}

func (d *deploy) clean() {
	for _, p := range d.all {
		p.kill()
	}
	for _, l := range d.locks {
		l.Close()
	}
}

func (d *deploy) run(ctx context.Context) (r Result, err error) {
	for i := range d.plan.Servers {
		s := &slot{name: fmt.Sprintf("server-%d", i)}
		d.slots = append(d.slots, s)
		for i := range s.ports {
			port, lock, err := freeport.Reserve()
			if err != nil {
				return r, err
			}
			s.ports[i], d.locks = port, append(d.locks, lock)
		}
		if err := d.serve(s); err != nil {
			return r, err
		}
	}
	if err := d.awaitRegistered(ctx); err != nil {
		return r, err
	}
	var clients []*process
	for i := range d.plan.Clients {
		c, err := d.start(task{Role: "client", First: i * 100})
		if err != nil {
			return r, err
		}
		clients = append(clients, c)
	}
	var ending time.Duration
	for round := range d.plan.Rounds {
		for _, s := range d.slots {
			if err := s.server.awaitAnswer(); err != nil {
				return r, err
			}
			replace := d.startBefore
			if round%2 == 0 {
				replace = d.replaceInPlace
			}
			took, err := replace(s)
			if err != nil {
				return r, err
			}
			r.Restarts++
			ending += took
		}
	}
	for _, s := range d.slots {
		if err := s.server.awaitAnswer(); err != nil {
			return r, err
		}
	}
	r.Stop = ending / time.Duration(r.Restarts)
	for _, c := range clients {
		if err := errors.Join(c.stdin.Close(), c.awaitEnd()); err != nil {
			return r, err
		}
		if !c.counted || c.tally.Requests == 0 {
			return r, c.problem("sent nothing")
		}
		r.Requests += c.tally.Requests
		r.Failed += c.tally.Failed
		r.Errors = append(r.Errors, c.tally.Errors...)
	}
	for _, s := range d.slots {
		if _, err := d.stop(s.server); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (d *deploy) start(t task) (*process, error) {
	t.URL, t.Service, t.Way = d.plan.URL, service, d.plan.Way
	p, err := start(t)
	if err == nil {
		d.all = append(d.all, p)
	}
	return p, err
}

// serve starts a slot's server.
func (d *deploy) serve(s *slot) (err error) {
	s.server, err = d.start(task{Role: "server", ID: fmt.Sprintf("%s-v%d", s.name, s.version), Port: s.ports[s.turn]})
	return err
}

// replaceInPlace stops a server and starts its successor in its place.
func (d *deploy) replaceInPlace(s *slot) (time.Duration, error) {
	took, err := d.stop(s.server)
	if err != nil {
		return 0, err
	}
	if err := d.serve(s); err != nil {
		return 0, err
	}
	return took, s.server.awaitAnswer()
}

// startBefore starts the successor and stops the server once the successor serves.
func (d *deploy) startBefore(s *slot) (time.Duration, error) {
	old := s.server
	s.turn = 1 - s.turn
	s.version++
	if err := d.serve(s); err != nil {
		return 0, err
	}
	if err := s.server.awaitAnswer(); err != nil {
		return 0, err
	}
	return d.stop(old)
}

func (d *deploy) stop(p *process) (time.Duration, error) {
	begun := time.Now()
	if err := p.terminate(); err != nil {
		return 0, err
	}
	err := p.awaitEnd()
	return time.Since(begun), err
}

// awaitRegistered waits until all servers are registered.
func (d *deploy) awaitRegistered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maxProcessTime)
	defer cancel()
	backend, err := registry.Open(ctx, d.plan.URL)
	if err != nil {
		return err
	}
	defer backend.Close()
	for s := range backend.Watch(ctx, service) {
		if len(s.Instances) == len(d.slots) {
			return nil
		}
	}
	return fmt.Errorf("not all of %d servers registered in %s", len(d.slots), maxProcessTime)
}
