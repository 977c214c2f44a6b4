package balance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"

	"github.com/rollcall-sd/rollcall/registry"
)

// maxDials bounds how many tries of one request may end without a connection.
const maxDials = 10

// call is one request of a Transport, with its tries.
type call struct {
	transport *Transport
	balancer  *Balancer
	request   *http.Request
	body      requestBody
	tried     []Picked
	tries     int
	sent      int    // tries of which the instance may have seen something
	reused    bool   // the last try went over a connection used before
	taken     source // of the retry budget, for the next try
	withheld  bool   // the retry budget permitted no further try
}

func (c *call) run() (*http.Response, error) {
	c.body.request = c.request
	var last error
	for {
		p, err := c.balancer.pick(c.request.Context(), c.tried)
		if err != nil {
			if c.tries == 0 && c.dropped(err) || c.tries > 0 && c.startOver() {
				continue
			}
			c.body.giveUp()
			c.balancer.retries.giveBack(c.taken, c.balancer.now())
			if last != nil {
				return nil, last
			}
			return nil, err
		}
		resp, again, err := c.try(&p)
		if err == nil {
			c.body.settle()
			return resp, nil
		}
		c.tried = append(c.tried, p)
		last = &callError{
			service: c.balancer.service, instance: p.upstream().id, address: p.HostPort(),
			tries: c.tries, withheld: c.withheld, err: err,
		}
		if !again {
			c.body.giveUp()
			return nil, last
		}
	}
}

// dropped reports whether a pick failed because the transport let go of the
// service just before, and there is another balancer for it now.
func (c *call) dropped(err error) bool {
	if !errors.Is(err, registry.ErrClosed) {
		return false
	}
	b, err := c.transport.balancerFor(c.request)
	if err != nil || b == c.balancer {
		return false
	}
	c.balancer = b
	return true
}

// startOver allows the instances that were tried, if the last one failed on a
// connection that it may have closed while it was idle: that says little of it.
func (c *call) startOver() bool {
	if !c.reused || len(c.tried) == 0 {
		return false
	}
	c.tried, c.reused = c.tried[:0], false
	return true
}

// try sends the request to one instance. again says that another may be tried.
func (c *call) try(p *Picked) (resp *http.Response, again bool, err error) {
	n := p.upstream()
	c.tries++
	c.reused, c.taken = false, nothing
	sending, err := c.body.next()
	if err != nil {
		p.Done(context.Canceled) // it is not the instance's fault
		return nil, false, fmt.Errorf("rewind the request's body: %w", err)
	}
	t := tracer{
		Context: c.request.Context(), upstream: n, hasBody: !c.body.none(),
		plainHTTP2: usesPlainHTTP2(c.transport.config.base),
	}
	out := c.request.WithContext(httptrace.WithClientTrace(&t, t.hooks()))
	out.Body, out.GetBody = sending, c.body.again()
	resp, err = n.connections(c.transport.config.base).RoundTrip(out)
	if t.connected.Load() != 0 {
		p.started = t.wrote.Load() // what comes before is not the instance's latency
	}
	if err != nil {
		return nil, c.failed(p, &t, err), err
	}
	p.recordLatency(true)
	resp.Request = c.request
	c.answered(p, resp)
	return resp, false, nil
}

// failed judges a failed try and says whether another may follow.
func (c *call) failed(p *Picked, t *tracer, err error) (again bool) {
	if p.end() {
		defer p.upstream().release()
	}
	end := endOf(c.request)
	connected := t.connected.Load() != 0
	switch {
	case !t.asked.Load(), c.body.broke(), end == cancelled:
		return false
	case end == late:
		if connected && !c.body.stalls() || !connected && t.dialing.Load() {
			p.recordLatency(false)
			p.judge(err, false)
		}
		return false
	case !connected:
		p.judge(err, true)
		return c.tries < maxDials+c.sent && c.body.rewinds(false) && (isDial(err) || c.allowed())
	case !sendable(c.request, err):
		return false
	}
	p.recordLatency(false)
	p.judge(err, false)
	c.sent++
	c.reused = t.reused.Load()
	return c.sent < c.transport.config.tries && repeatable(c.request) && c.body.rewinds(true) &&
		(c.reused && !t.http2.Load() || c.allowed())
}

// allowed takes a retry from the service's budget.
func (c *call) allowed() (ok bool) {
	b := c.balancer
	c.taken, ok = b.retries.take(b.now())
	c.withheld = !ok
	return ok
}

// answered judges a response, and ends the request with its body.
func (c *call) answered(p *Picked, resp *http.Response) {
	judged := c.transport.config.failure(resp)
	if judged {
		p.judge(fmt.Errorf("it answered %s", resp.Status), false)
	}
	resp.Body = newResponseBody(resp, *p, judged, c.body.sending)
}

// repeatable reports whether a request may be sent again although an instance
// may have acted on it.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	_, key := req.Header["Idempotency-Key"]
	if !key {
		_, key = req.Header["X-Idempotency-Key"]
	}
	return key
}
