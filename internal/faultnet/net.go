package faultnet

import (
	"context"
	"net"
	"sync"
	"testing"
)

// Net is a set of proxies, one for each address that a client dials, for clients
// that get addresses from the servers (Sentinel, Cluster).
type Net struct {
	t       testing.TB
	mu      sync.Mutex
	proxies map[string]*Proxy
}

// NewNet returns an empty set that ends with the test.
func NewNet(t testing.TB) *Net { return &Net{t: t, proxies: map[string]*Proxy{}} }

// To returns the proxy in front of a server (host:port), and opens it if necessary.
func (n *Net) To(addr string) *Proxy {
	n.t.Helper()
	p, err := n.to(addr)
	if err != nil {
		n.t.Fatalf("opening a proxy to %s: %v", addr, err)
	}
	return p
}

func (n *Net) to(addr string) (*Proxy, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.proxies[addr]; p != nil {
		return p, nil
	}
	p, err := open(addr)
	if err != nil {
		return nil, err
	}
	n.t.Cleanup(p.Close)
	n.proxies[addr] = p
	return p, nil
}

// Dial connects to addr through its proxy; it fits go-redis's Dialer option.
func (n *Net) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	p, err := n.to(addr)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, network, p.Addr())
}
