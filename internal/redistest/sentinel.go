package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"
)

const (
	masterName    = "rollcall-primary"
	sentinelCount = 3
	replicaCount  = 2

	// DownAfter is after how long without an answer a Sentinel takes a server
	// to be down, FailoverTimeout how long one attempt at a failover may take.
	DownAfter       = time.Second
	FailoverTimeout = 3 * time.Second
)

// Sentinels is a primary and two replicas that three Sentinels watch.
type Sentinels struct {
	Servers   []*Server // the data servers, the first primary first
	Sentinels []*Server

	t testing.TB
}

// StartSentinels starts a primary, two replicas and three Sentinels and waits
// until all know each other. The options apply to the primary and its replicas,
// those of TLS to the Sentinels too.
func StartSentinels(t testing.TB, opts ...Option) *Sentinels {
	t.Helper()
	g := &Sentinels{t: t}
	primary, err := start(opts...)
	if err != nil {
		t.Fatal(err)
	}
	primary.attach(t)
	replicas, err := inParallel(replicaCount, func(int) (*Server, error) { return startReplica(primary) })
	if err != nil {
		t.Fatal(err)
	}
	g.Servers = append([]*Server{primary}, replicas...)
	for _, r := range replicas {
		r.attach(t)
	}
	// Replicas first: a Sentinel asks a primary for its replicas every ten seconds only.
	conf := sentinelConf(primary)
	secured := func(o *options) {
		o.tls, o.ca, o.clientCertificates = primary.opts.tls, primary.opts.ca, primary.opts.clientCertificates
	}
	g.Sentinels, err = inParallel(sentinelCount, func(int) (*Server, error) { return start(secured, withSentinel(conf...)) })
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range g.Sentinels {
		s.attach(t)
	}
	if err := within(topologyTimeout, func(context.Context) error { return g.checkComplete() }); err != nil {
		t.Fatalf("starting Sentinels: %v\n%s", err, g.Sentinels[0].logTail())
	}
	return g
}

func sentinelConf(primary *Server) []string {
	conf := []string{
		fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d %d", masterName, primary.port, sentinelCount/2+1),
		fmt.Sprintf("sentinel down-after-milliseconds %s %d", masterName, DownAfter.Milliseconds()),
		fmt.Sprintf("sentinel failover-timeout %s %d", masterName, FailoverTimeout.Milliseconds()),
		fmt.Sprintf("sentinel parallel-syncs %s %d", masterName, replicaCount),
	}
	if primary.opts.password != "" {
		conf = append(conf, fmt.Sprintf("sentinel auth-pass %s %q", masterName, primary.opts.password))
	}
	return conf
}

// checkComplete fails unless every Sentinel sees all servers, without a failure.
func (g *Sentinels) checkComplete() error {
	for _, s := range g.Sentinels {
		if _, err := s.do("SENTINEL", "CKQUORUM", masterName); err != nil {
			return fmt.Errorf("sentinel %s: %w", s.Addr(), err)
		}
		master, err := sentinelFields(s.do("SENTINEL", "MASTER", masterName))
		if err != nil {
			return fmt.Errorf("sentinel %s: %w", s.Addr(), err)
		}
		if master["flags"] != "master" || master["num-slaves"] != fmt.Sprint(replicaCount) ||
			master["num-other-sentinels"] != fmt.Sprint(sentinelCount-1) {
			return fmt.Errorf("sentinel %s sees a primary %s with %s replicas and %s other sentinels", s.Addr(),
				master["flags"], master["num-slaves"], master["num-other-sentinels"])
		}
	}
	return nil
}

// sentinelFields reads an answer that is a map in RESP3 or a flat list in RESP2.
func sentinelFields(answer any, err error) (map[string]string, error) {
	out := map[string]string{}
	switch answer := answer.(type) {
	case map[any]any:
		for k, v := range answer {
			out[fmt.Sprint(k)] = fmt.Sprint(v)
		}
	case []any:
		for i := 0; i+1 < len(answer); i += 2 {
			out[fmt.Sprint(answer[i])] = fmt.Sprint(answer[i+1])
		}
	}
	return out, err
}

// MasterName returns the name under which the Sentinels know the primary.
func (g *Sentinels) MasterName() string { return masterName }

// SentinelAddrs returns the Sentinels' host:port.
func (g *Sentinels) SentinelAddrs() []string {
	return addrs(g.Sentinels)
}

// Server returns the data server of that host:port.
func (g *Sentinels) Server(addr string) *Server {
	g.t.Helper()
	for _, s := range g.Servers {
		if s.Addr() == addr {
			return s
		}
	}
	g.t.Fatalf("no server of these Sentinels has the address %q", addr)
	return nil
}

// Primary returns the server that most Sentinels name as the primary.
func (g *Sentinels) Primary() *Server {
	g.t.Helper()
	var addr string
	err := within(topologyTimeout, func(context.Context) (err error) {
		addr, err = g.primaryAddr()
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return g.Server(addr)
}

// primaryAddr returns the address that most Sentinels name.
func (g *Sentinels) primaryAddr() (string, error) {
	votes := map[string]int{}
	var errs []error
	for _, s := range g.Sentinels {
		if s.current().gone() {
			continue
		}
		answer, err := s.do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName)
		pair, ok := answer.([]any)
		if err != nil || !ok || len(pair) != 2 {
			errs = append(errs, fmt.Errorf("sentinel %s: %v %w", s.Addr(), answer, err))
			continue
		}
		addr := net.JoinHostPort(fmt.Sprint(pair[0]), fmt.Sprint(pair[1]))
		if votes[addr]++; votes[addr] > sentinelCount/2 {
			return addr, nil
		}
	}
	return "", fmt.Errorf("the Sentinels agree on no primary: %v %w", votes, errors.Join(errs...))
}

// WaitFailover waits until most Sentinels name another primary than old and that
// server takes writes, and returns it.
func (g *Sentinels) WaitFailover(old *Server) *Server {
	g.t.Helper()
	var now *Server
	err := within(topologyTimeout, func(context.Context) error {
		addr, err := g.primaryAddr()
		if err != nil {
			return err
		}
		if addr == old.Addr() {
			return fmt.Errorf("the primary is still %s", addr)
		}
		now = g.Server(addr)
		info, err := now.info("replication")
		if err == nil && info["role"] != "master" {
			err = fmt.Errorf("%s is still a replica", addr)
		}
		return err
	})
	if err != nil {
		g.t.Fatalf("waiting for a failover away from %s: %v", old.Addr(), err)
	}
	return now
}

// WaitDemoted waits until s is a replica in sync with its primary, as an old
// primary becomes some seconds after it was thawed or restarted.
func (g *Sentinels) WaitDemoted(s *Server) {
	g.t.Helper()
	if err := within(2*topologyTimeout, func(context.Context) error { return s.checkInSync() }); err != nil {
		g.t.Fatalf("waiting for %s to become a replica: %v", s.Addr(), err)
	}
}

func addrs(servers []*Server) []string {
	out := make([]string, len(servers))
	for i, s := range servers {
		out[i] = s.Addr()
	}
	return out
}
