package faultnet

import (
	"maps"
	"sync"
)

// counts is what passed a proxy from clients to the server.
type counts struct {
	mu       sync.Mutex
	commands map[string]int
	trips    int
}

func (c *counts) command(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.commands == nil {
		c.commands = map[string]int{}
	}
	c.commands[name]++
}

func (c *counts) trip() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trips++
}

// Commands returns how often clients sent each command since the last Reset, by
// upper-case name, handshakes (HELLO, CLIENT) and commands held or dropped
// included. It is empty for connections in TLS.
func (p *Proxy) Commands() map[string]int {
	p.counts.mu.Lock()
	defer p.counts.mu.Unlock()
	out := maps.Clone(p.counts.commands)
	if out == nil {
		out = map[string]int{}
	}
	return out
}

// RoundTrips returns how many round trips clients made since the last Reset: a
// request counts when no earlier one of its connection awaits a reply, so a
// pipeline counts once. Subscribing counts, messages pushed do not.
func (p *Proxy) RoundTrips() int {
	p.counts.mu.Lock()
	defer p.counts.mu.Unlock()
	return p.counts.trips
}

// Reset sets Commands and RoundTrips to zero.
func (p *Proxy) Reset() {
	p.counts.mu.Lock()
	defer p.counts.mu.Unlock()
	p.counts.commands, p.counts.trips = nil, 0
}

// tripCounter counts the round trips of one connection.
type tripCounter struct {
	mu      sync.Mutex
	waiting int // requests without a reply
}

func (t *tripCounter) requestBegins(total *counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == 0 {
		total.trip()
	}
	t.waiting++
}

// replied counts a whole frame from the server, unless it is pushed.
func (t *tripCounter) replied(frame *scanner) {
	if isMessage(frame) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// Subscribing to several channels is one request with several answers.
	t.waiting = max(0, t.waiting-1)
}
