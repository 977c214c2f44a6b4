package balance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/rollcall-sd/rollcall/registry"
)

// maxDials bounds how many instances in a row may refuse a connection before a
// request fails.
const maxDials = 10

// call is one request of a Transport, with its tries.
type call struct {
	transport *Transport
	balancer  *Balancer
	request   *http.Request
	body      requestBody
	tried     []Picked
	tries     int
	sent      int  // tries of which the instance may have seen something
	reused    bool // the last try went over a connection used before
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
			service: c.balancer.service, instance: p.node().id, address: p.HostPort(), tries: c.tries, err: err,
		}
		if !again {
			c.body.giveUp()
			return nil, last
		}
	}
}

// dropped reports whether a pick failed because the transport let go of the
// service a moment ago, and there is another balancer for it now.
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
	n := p.node()
	c.tries++
	c.reused = false
	sending, err := c.body.next()
	if err != nil {
		p.Done(context.Canceled) // it is not the instance's fault
		return nil, false, fmt.Errorf("rewind the request's body: %w", err)
	}
	t := tracer{node: n}
	out := c.request.WithContext(httptrace.WithClientTrace(c.request.Context(), &httptrace.ClientTrace{
		GetConn: t.asking, GotConn: t.got,
	}))
	out.Body = sending
	resp, err = n.connections(c.transport.config.base).RoundTrip(out)
	if at := t.connected.Load(); at != 0 {
		p.started = at // making connections is not the instance's latency
	}
	if err != nil {
		return nil, c.failed(p, &t, err), err
	}
	p.timed(true)
	resp.Request = c.request
	c.answered(p, resp)
	return resp, false, nil
}

// failed judges a failed try and says whether another may follow.
func (c *call) failed(p *Picked, t *tracer, err error) (again bool) {
	defer p.node().release()
	p.done = true
	if !t.asked.Load() {
		return false // the request itself is not acceptable
	}
	if ctx := c.request.Context(); ctx.Err() != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			p.timed(false)
			p.judge(err, false)
		}
		return false
	}
	if t.connected.Load() == 0 {
		p.judge(err, true)
		return c.tries < maxDials+c.sent && c.body.rewinds(false)
	}
	p.timed(false)
	p.judge(err, false)
	c.sent++
	c.reused = t.reused.Load()
	return c.sent < c.transport.config.tries && repeatable(c.request) && c.body.rewinds(true)
}

// answered judges a response, and ends the request with its body.
func (c *call) answered(p *Picked, resp *http.Response) {
	judged := c.transport.config.failure(resp)
	if judged {
		p.judge(fmt.Errorf("it answered %s", resp.Status), false)
	}
	resp.Body = newResponseBody(resp.Body, *p, judged)
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

// tracer learns how far a try got. net/http may ask for connections several
// times: it repeats by itself what it did not send, or may repeat, on a
// connection that was idle for too long. The last time counts.
type tracer struct {
	node      *node
	asked     atomic.Bool
	connected atomic.Int64 // when there was a connection; 0 if there is none
	reused    atomic.Bool  // it had been used before
}

func (t *tracer) asking(string) {
	t.asked.Store(true)
	t.connected.Store(0)
}

func (t *tracer) got(info httptrace.GotConnInfo) {
	t.reused.Store(info.Reused)
	t.connected.Store(t.node.owner.now())
}
