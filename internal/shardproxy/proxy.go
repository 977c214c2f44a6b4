// Package shardproxy is a proxy for tests that answers one address in front of a real
// Redis, with the rules of services that shard their data behind such an address: Redis
// Enterprise and Redis Cloud without the OSS Cluster API, Azure Managed Redis with the
// Enterprise policy, and the proxies of several clouds.
//
//	a script or command whose keys are in two slots   CROSSSLOT
//	a script that touches a key it does not declare   an error, at that call
//	a script without keys                             an error
//	CLUSTER, SELECT, ASKING, READONLY, READWRITE      an error
//	INFO server                                       another run ID each time: any shard may answer
//
// Requests of one pipeline may be for any slots. Everything else passes unchanged.
// StartWith has other rules, for tests of other restrictions.
package shardproxy

import (
	"bufio"
	"io"
	"net"
	"sync"
)

// Proxy is a listener that forwards each connection to one server. Its methods are safe
// for concurrent use.
type Proxy struct {
	target   string
	rule     Rule // in place of those of the package, if not nil
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	conns   map[net.Conn]struct{}
	scripts map[string]string // by the hash of a text that was sent, the hash of the text that checks keys
	refused map[string]int
	lenient bool
}

// Start starts a proxy on a free port of 127.0.0.1, in front of target (host:port).
func Start(target string) (*Proxy, error) { return StartWith(target, nil) }

// Rule returns what the server gets in place of a request. Calls may be concurrent.
type Rule func(request []string) []string

// Refusal is a request that the server answers with an error, if it runs scripts.
func Refusal(message string) []string {
	return []string{"EVAL", "return redis.error_reply(ARGV[1])", "0", message}
}

// StartWith is Start with a rule in place of those of a sharded service.
func StartWith(target string, rule Rule) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, rule: rule, listener: l, conns: make(map[net.Conn]struct{}), scripts: make(map[string]string), refused: make(map[string]int)}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr returns the host:port to connect to in place of the server's.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Refused returns how many requests the proxy has refused, by the first word of the
// error. Keys that a script does not declare are refused in the server and not counted.
func (p *Proxy) Refused() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]int, len(p.refused))
	for word, n := range p.refused {
		out[word] = n
	}
	return out
}

// SetLenient sets whether all rules are suspended, as if the address led to one server.
// It applies to requests from then on, also on open connections.
func (p *Proxy) SetLenient(lenient bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lenient = lenient
}

// Close ends all connections and waits until nothing of the proxy runs.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	_ = p.listener.Close()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

// track has Close end a connection. It returns false, and ends it, after Close.
func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) untrack(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// serve forwards one connection until either side ends it.
func (p *Proxy) serve(client net.Conn) {
	if !p.track(client) {
		return
	}
	defer p.untrack(client)
	server, err := net.Dial("tcp", p.target)
	if err != nil || !p.track(server) {
		return
	}
	defer p.untrack(server)
	replies := make(chan struct{})
	go func() {
		defer close(replies)
		_, _ = io.Copy(client, server) // its end ends the connection
		_ = client.Close()
	}()
	p.forward(client, server)
	_ = server.Close()
	<-replies
}

// forward passes requests on, each as the rules have it.
func (p *Proxy) forward(client io.Reader, server io.Writer) {
	in, out := bufio.NewReaderSize(client, 64<<10), bufio.NewWriterSize(server, 64<<10)
	for {
		request, err := readRequest(in)
		if err != nil {
			return
		}
		if err := writeRequest(out, p.apply(request)); err != nil {
			return
		}
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}
