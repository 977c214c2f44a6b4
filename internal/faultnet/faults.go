package faultnet

import (
	"sync"
	"time"
)

// Direction is one of the two ways of a connection.
type Direction int

const (
	ToServer Direction = iota // requests
	ToClient                  // replies and pushes
)

// Faults are the current faults of a set of connections. Its methods are safe for
// concurrent use and take effect at once, also on later connections.
type Faults struct {
	proxy   *Proxy
	matches func(*conn) bool

	mu        sync.Mutex
	delay     [2]time.Duration
	pace      [2]pace
	held      [2]bool
	dropped   [2]bool
	messages  bool // drop pub/sub messages
	cutReply  bool // armed
	cutAfter  int
	cutAtOnce bool // cut new connections that match
}

// Delay delivers bytes that arrive from now on d after they arrived.
func (f *Faults) Delay(dir Direction, d time.Duration) {
	f.change(func() { f.delay[dir] = d })
}

// Throttle limits the rate of all connections together. It buffers little, so the
// sender is slowed as well. Use it before connections are opened: open ones have
// larger buffers.
func (f *Faults) Throttle(dir Direction, bytesPerSecond int) {
	f.change(func() { f.pace[dir] = pace{rate: bytesPerSecond} })
}

// pace is a rate that connections share.
type pace struct {
	rate int // bytes a second; 0: unlimited
	next time.Time
}

// reserve returns when n bytes may have passed.
func (p *pace) reserve(n int) time.Time {
	if p.rate == 0 {
		return time.Time{}
	}
	if now := time.Now(); p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(n) * time.Second / time.Duration(p.rate))
	return p.next
}

// Hold queues bytes until Heal delivers them all in order. Connections are accepted
// and stay open. A request is delivered even if its client has closed the connection
// meanwhile. Without a direction it holds both.
func (f *Faults) Hold(dirs ...Direction) {
	f.change(func() { each(dirs, func(d Direction) { f.held[d] = true }) })
}

// Drop drops whole requests or replies that begin from now on. Those that have begun
// pass, so the stream stays well-formed. Without a direction it drops both.
func (f *Faults) Drop(dirs ...Direction) {
	f.change(func() { each(dirs, func(d Direction) { f.dropped[d] = true }) })
}

// DropMessages drops only pub/sub messages. Confirmations, replies and pings pass,
// so the client cannot notice.
func (f *Faults) DropMessages() {
	f.change(func() { f.messages = true })
}

// CutReplyAfter ends the next connection on which a reply begins after n bytes of
// the reply and what follows. The server has run the request. With 0 no byte of the
// reply arrives.
func (f *Faults) CutReplyAfter(n int) {
	f.change(func() { f.cutReply, f.cutAfter = true, n })
}

// Cut ends the open connections with a reset and returns how many there were.
// Bytes held on them are lost.
func (f *Faults) Cut() int { return f.CutSome(-1) }

// CutSome ends up to n open connections, the oldest first, or all if n is negative.
func (f *Faults) CutSome(n int) int {
	cut := 0
	for _, c := range f.proxy.connections() {
		if cut == n {
			break
		}
		if f.matches(c) {
			c.reset()
			cut++
		}
	}
	return cut
}

// CutAlways ends every connection now and each new one as soon as it belongs to
// this set, until Heal.
func (f *Faults) CutAlways() {
	f.change(func() { f.cutAtOnce = true })
	f.Cut()
}

// Heal removes all faults of this set and delivers the bytes held.
func (f *Faults) Heal() {
	f.change(func() {
		f.delay, f.held, f.dropped, f.pace = [2]time.Duration{}, [2]bool{}, [2]bool{}, [2]pace{}
		f.messages, f.cutReply, f.cutAtOnce = false, false, false
	})
}

// Connections returns how many connections of this set are open.
func (f *Faults) Connections() int {
	n := 0
	for _, c := range f.proxy.connections() {
		if f.matches(c) {
			n++
		}
	}
	return n
}

func (f *Faults) change(apply func()) {
	f.mu.Lock()
	apply()
	f.mu.Unlock()
	f.proxy.wake()
}

// takeCut returns the armed cut of a reply, once.
func (f *Faults) takeCut() (after int, armed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	armed = f.cutReply
	f.cutReply = false
	return f.cutAfter, armed
}

// locked calls get under the faults' lock.
func locked[T any](f *Faults, get func() T) T {
	f.mu.Lock()
	defer f.mu.Unlock()
	return get()
}

func each(dirs []Direction, do func(Direction)) {
	if len(dirs) == 0 {
		dirs = []Direction{ToServer, ToClient}
	}
	for _, d := range dirs {
		do(d)
	}
}
