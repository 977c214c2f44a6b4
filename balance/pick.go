package balance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// Picked is an instance for one request. Done must be called when the request
// has ended. Copies stand for the same request. The zero Picked is no instance:
// its Instance and HostPort are empty, and its Done does nothing.
type Picked struct {
	endpoint  *endpoint
	ending    *ending
	turn      uint64 // of ending, until the request has ended
	started   int64  // 0 if it is not timed
	ejections int64  // how often the upstream had been ejected
	probe     bool   // it is the probe request of an ejected upstream
}

// ending makes sure that a request ends once, however many copies of its Picked
// there are. Its turn grows when a request ends, and then it serves another
// request: a copy that is left over has an earlier turn.
type ending struct{ turn atomic.Uint64 }

var endings = sync.Pool{New: func() any { return new(ending) }}

// begin makes the Picked of a request that is in flight to e.
func begin(e *endpoint) Picked {
	end := endings.Get().(*ending)
	return Picked{endpoint: e, ending: end, turn: end.turn.Load()}
}

// end reports whether it ended the request: false if there is none or it has
// ended. The caller then releases the upstream, after it judged it.
func (p *Picked) end() bool {
	if p.ending == nil || !p.ending.turn.CompareAndSwap(p.turn, p.turn+1) {
		return false
	}
	endings.Put(p.ending)
	return true
}

// Instance returns what the instance registered. Its maps and slices are
// shared: read only.
func (p *Picked) Instance() registry.ServiceInfo {
	if p.endpoint == nil {
		return registry.ServiceInfo{}
	}
	return *p.endpoint.info
}

// HostPort returns the instance's "host:port".
func (p *Picked) HostPort() string {
	if p.endpoint == nil {
		return ""
	}
	return p.endpoint.address
}

func (p *Picked) upstream() *upstream {
	if p.endpoint == nil {
		return nil
	}
	return p.endpoint.upstream
}

// Done says that the request has ended, and how. nil: the instance did its
// work, in the time since Pick. An error speaks against the instance, a failed
// dial most. One that matches context.Canceled says nothing of it, nor does a
// dial that failed for lack of descriptors, ports or memory on this machine.
// Pass only errors for which the instance is to blame: not that a thing was not
// found.
// A second Done does nothing, nor does one of a copy. Done is safe for
// concurrent use.
func (p *Picked) Done(err error) {
	if !p.end() {
		return
	}
	p.recordLatency(err == nil)
	p.judge(err, isDial(err))
	p.endpoint.release()
}

// recordLatency records how long the request took. A failed request counts only if
// it took longer than what is known: an instance that fails fast is not a fast one.
func (p *Picked) recordLatency(ok bool) {
	if p.started == 0 {
		return
	}
	n := p.endpoint.upstream
	now := n.owner.now()
	if took := now - p.started; ok || took > n.recent(now) {
		n.observe(now, took)
	}
}

func (p *Picked) judge(err error, dial bool) {
	switch n := p.endpoint.upstream; {
	case err == nil:
		n.succeeded(p.ejections)
	case !errors.Is(err, context.Canceled) && !isLocal(err):
		n.failed(err, p.probe, dial)
	}
}

// Pick returns an instance for one request, and counts the request as in flight
// until Done. It allocates nothing.
//
// Without an instance it fails at once, with an error that matches
// ErrNoInstances, or waits as WithWait says. Only the very first state of the
// service is waited for in any case. While the backend is unavailable, Pick
// goes on with the last known instances. It fails with ctx's error if ctx has ended, and
// with one that matches registry.ErrClosed after Close of the balancer or of
// the registry that it watches.
func (b *Balancer) Pick(ctx context.Context) (Picked, error) { return b.pick(ctx, nil) }

// PickExcept is Pick for a further try: it returns none of the instances that
// were tried. When there is no other, its error matches ErrNoInstances.
func (b *Balancer) PickExcept(ctx context.Context, tried ...Picked) (Picked, error) {
	return b.pick(ctx, tried)
}

func (b *Balancer) pick(ctx context.Context, tried []Picked) (Picked, error) {
	if err := ctx.Err(); err != nil {
		return Picked{}, fmt.Errorf("pick an instance of %q: %w", b.service, err)
	}
	for {
		s := b.current.Load()
		if s.empty() {
			var err error
			if s, err = b.await(ctx); err != nil {
				return Picked{}, err
			}
		}
		e, bits, ejected := b.choose(s, tried)
		if e == nil {
			return Picked{}, fmt.Errorf("%w: each of the %d instances of %q was tried", ErrNoInstances, s.size(), b.service)
		}
		probe := false
		if until := e.ejectedUntil.Load(); until != 0 && !ejected {
			// Its ejection is over. One request probes it. The others avoid it.
			now := b.now()
			if until > now || !e.ejectedUntil.CompareAndSwap(until, now+int64(b.config.ejection.First)) {
				continue
			}
			probe = true
		}
		e.inflight.Add(1)
		if e.gone.Load() { // and there are newer candidates
			e.release()
			continue
		}
		p := begin(e)
		p.ejections, p.probe = e.ejections.Load(), probe
		if e.upstream.shouldTime(bits) {
			p.started = b.now()
		}
		return p, nil
	}
}

// choose returns an endpoint that was not tried, or nil, and random bits. ejected
// says that it is an ejected one, because all are.
func (b *Balancer) choose(s *candidates, tried []Picked) (e *endpoint, bits uint64, ejected bool) {
	w := drawFilter{balancer: b, tried: tried, bits: b.random()}
	e = s.near.pick(&w)
	if len(s.far.endpoints) > 0 && (e == nil || s.near.full(e, b.config.spill)) {
		if f := s.far.pick(&w); e == nil || f != nil && lessLoaded(f, e) {
			e = f
		}
	}
	if e != nil {
		return e, w.bits, false
	}
	w.ejectedToo = true
	if e = s.near.pick(&w); e == nil {
		e = s.far.pick(&w)
	}
	return e, w.bits, true
}

// await returns the first candidates that are not empty.
func (b *Balancer) await(ctx context.Context) (*candidates, error) {
	var over <-chan time.Time
	if b.config.wait > 0 {
		t := time.NewTimer(b.config.wait)
		defer t.Stop()
		over = t.C
	}
	for {
		s := b.current.Load()
		switch {
		case !s.empty():
			return s, nil
		case s.final, !s.waiting && over == nil:
			return nil, s.problem
		}
		select {
		case <-s.changed:
		case <-over:
			return nil, fmt.Errorf("%w; waited %v", s.problem, b.config.wait)
		case <-ctx.Done():
			return nil, fmt.Errorf("pick an instance of %q: %w; so far: %w", b.service, ctx.Err(), s.problem)
		}
	}
}
