package faultnet

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection through the proxy: for each direction a reader, which
// never waits, a queue, and a writer, which waits as the faults demand.
type conn struct {
	proxy      *Proxy
	client     *net.TCPConn
	server     *net.TCPConn
	queues     [2]*queue
	subscribed atomic.Bool
	trips      tripCounter
	done       chan struct{}
	once       sync.Once
}

func newConn(p *Proxy, client, server *net.TCPConn) *conn {
	return &conn{
		proxy:  p,
		client: client,
		server: server,
		queues: [2]*queue{newQueue(), newQueue()},
		done:   make(chan struct{}),
	}
}

// run passes bytes both ways and returns when both have ended.
func (c *conn) run() {
	var wg sync.WaitGroup
	wg.Go(func() { c.readRequests() })
	wg.Go(func() { c.readReplies() })
	wg.Go(func() {
		c.write(ToServer, c.server)
		c.server.CloseWrite()
	})
	wg.Go(func() {
		c.write(ToClient, c.client)
		// The server has closed its side: end both directions.
		c.end()
	})
	wg.Wait()
}

// end closes the connection in order, after all that was written.
func (c *conn) end() {
	c.once.Do(func() {
		close(c.done)
		c.client.Close()
		c.server.Close()
	})
}

// reset ends the connection at once.
func (c *conn) reset() {
	c.once.Do(func() {
		close(c.done)
		reset(c.client)
		reset(c.server)
	})
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	c.Close()
}

// faults calls ask with the faults that apply to this connection and reports
// whether any call returned true.
func (c *conn) faults(ask func(*Faults) bool) bool {
	return ask(&c.proxy.Faults) || c.subscribed.Load() && ask(c.proxy.Subscriptions)
}

// enforce cuts the connection if a fault applies that cuts such connections.
func (c *conn) enforce() {
	if c.faults(func(f *Faults) bool { return locked(f, func() bool { return f.cutAtOnce }) }) {
		c.reset()
	}
}

func (c *conn) dropping(dir Direction) bool {
	return c.faults(func(f *Faults) bool { return locked(f, func() bool { return f.dropped[dir] }) })
}

func (c *conn) holding(dir Direction) bool {
	return c.faults(func(f *Faults) bool { return locked(f, func() bool { return f.held[dir] }) })
}

func (c *conn) droppingMessages() bool {
	return c.faults(func(f *Faults) bool { return locked(f, func() bool { return f.messages }) })
}

func (c *conn) delay(dir Direction) (d time.Duration) {
	c.faults(func(f *Faults) bool {
		d = max(d, locked(f, func() time.Duration { return f.delay[dir] }))
		return false
	})
	return d
}

// readRequests queues what the client sends.
func (c *conn) readRequests() {
	defer c.queues[ToServer].close()
	var frames scanner
	var dropping bool
	buf := make([]byte, 16<<10)
	for {
		n, err := c.client.Read(buf)
		c.waitForPace(ToServer, n)
		for b := buf[:n]; len(b) > 0; {
			if !frames.begun || frames.lost {
				dropping = c.dropping(ToServer)
				c.trips.requestBegins(&c.proxy.counts)
			}
			size, ended := frames.scan(b)
			if ended {
				c.requested(frames.words)
			}
			if !dropping {
				c.enqueue(ToServer, b[:size])
			}
			b = b[size:]
		}
		if err != nil {
			return
		}
	}
}

// requested counts a whole request.
func (c *conn) requested(words []string) {
	if len(words) == 0 {
		return
	}
	name := strings.ToUpper(words[0])
	c.proxy.counts.command(name)
	switch name {
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
		c.subscribed.Store(true)
		c.enforce()
	}
}

// readReplies queues what the server sends.
func (c *conn) readReplies() {
	defer c.queues[ToClient].close()
	var frames scanner
	var dropping, whole bool // whole: the frame waits in pending until it is known what it is
	var pending []byte
	cut := -1 // bytes until the connection is to end
	buf := make([]byte, 16<<10)
	for {
		n, err := c.server.Read(buf)
		c.waitForPace(ToClient, n)
		for b := buf[:n]; len(b) > 0; {
			if !frames.begun || frames.lost {
				dropping = c.dropping(ToClient)
				whole = c.droppingMessages() && !frames.lost
				if cut < 0 {
					c.faults(func(f *Faults) bool {
						after, armed := f.takeCut()
						if armed {
							cut = after
						}
						return armed
					})
				}
			}
			size, ended := frames.scan(b)
			piece := b[:size]
			b = b[size:]
			if cut >= 0 {
				passed := piece[:min(cut, len(piece))]
				c.enqueue(ToClient, passed)
				if cut -= len(passed); cut == 0 {
					return
				}
				continue
			}
			if whole {
				pending = append(pending, piece...)
				if !ended && !frames.lost {
					continue
				}
				piece, pending = pending, nil
				dropping = dropping || isMessage(&frames)
			}
			if ended {
				c.trips.replied(&frames)
			}
			if !dropping {
				c.enqueue(ToClient, piece)
			}
		}
		if err != nil {
			c.enqueue(ToClient, pending)
			return
		}
	}
}

// isMessage reports whether a whole frame is a pub/sub message, in RESP2 or RESP3.
func isMessage(frame *scanner) bool {
	if frame.kind != '*' && frame.kind != '>' || len(frame.words) == 0 {
		return false
	}
	switch frame.words[0] {
	case "message", "pmessage", "smessage":
		return true
	}
	return false
}

// waitForPace delays the reader, and so the sender, like a slow connection.
func (c *conn) waitForPace(dir Direction, n int) {
	var at time.Time
	c.faults(func(f *Faults) bool {
		if t := locked(f, func() time.Time { return f.pace[dir].reserve(n) }); t.After(at) {
			at = t
		}
		return false
	})
	for time.Now().Before(at) {
		changed := c.proxy.changes()
		timer := time.NewTimer(time.Until(at))
		select {
		case <-timer.C:
		case <-c.done:
			timer.Stop()
			return
		case <-changed: // the writer applies a hold; Heal removes the limit
			timer.Stop()
			if c.paced(dir) {
				continue
			}
			return
		}
	}
}

func (c *conn) paced(dir Direction) bool {
	return c.faults(func(f *Faults) bool { return locked(f, func() bool { return f.pace[dir].rate > 0 }) })
}

func (c *conn) enqueue(dir Direction, b []byte) {
	if len(b) > 0 {
		c.queues[dir].push(b, time.Now().Add(c.delay(dir)))
	}
}

// write delivers a direction's queue until it ends. A closed receiver does not stop
// it, as the other direction may hold bytes.
func (c *conn) write(dir Direction, to *net.TCPConn) {
	for {
		next, ok := c.queues[dir].pop(c.done)
		if !ok || !c.waitDeliverable(dir, next.due) {
			return
		}
		_, _ = to.Write(next.bytes)
	}
}

// waitDeliverable waits until the direction is not held and the bytes are due. It
// reports false if the connection ended first.
func (c *conn) waitDeliverable(dir Direction, due time.Time) bool {
	for {
		changed := c.proxy.changes()
		held, wait := c.holding(dir), time.Until(due)
		if !held && wait <= 0 {
			return true
		}
		var timer <-chan time.Time
		if !held {
			timer = time.After(wait)
		}
		select {
		case <-c.done:
			return false
		case <-changed:
		case <-timer:
		}
	}
}
