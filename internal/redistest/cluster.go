package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/freeport"
)

const (
	slots = 16384

	// NodeTimeout is after how long without an answer a Cluster's nodes take
	// another to be down (cluster-node-timeout).
	NodeTimeout = 1500 * time.Millisecond
)

// Cluster is a Redis Cluster, in which each replica has one primary at first.
type Cluster struct {
	Nodes []*Server // the first primaries first

	t testing.TB
}

// StartCluster starts a Cluster of so many primaries, which share the slots
// evenly, and replicas, dealt out to them in turn, and waits until all agree. The
// options apply to every node.
func StartCluster(t testing.TB, primaries, replicas int, opts ...Option) *Cluster {
	t.Helper()
	opts = append([]Option{sharedCA(t, opts), withConf(
		"cluster-enabled yes",
		"cluster-config-file nodes.conf",
		fmt.Sprintf("cluster-node-timeout %d", NodeTimeout.Milliseconds()),
		// A replica may be elected however long its primary was disconnected.
		"cluster-replica-validity-factor 0",
	)}, opts...)
	nodes, err := inParallel(primaries+replicas, func(int) (*Server, error) { return start(opts...) })
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Nodes: nodes, t: t}
	for _, n := range nodes {
		n.attach(t)
	}
	if err := c.form(primaries); err != nil {
		t.Fatalf("forming a Cluster: %v\n%s", err, nodes[0].logTail())
	}
	return c
}

func (c *Cluster) form(primaries int) error {
	for i, n := range c.Nodes {
		if i < primaries {
			first, last := i*slots/primaries, (i+1)*slots/primaries-1
			if _, err := n.do("CLUSTER", "ADDSLOTSRANGE", first, last); err != nil {
				return err
			}
		}
		if _, err := n.do("CLUSTER", "SET-CONFIG-EPOCH", i+1); err != nil {
			return err
		}
		if i > 0 {
			if _, err := n.do("CLUSTER", "MEET", "127.0.0.1", c.Nodes[0].port, c.Nodes[0].port+freeport.BusOffset); err != nil {
				return err
			}
		}
	}
	ids := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		id, err := n.do("CLUSTER", "MYID")
		if err != nil {
			return err
		}
		ids[i] = fmt.Sprint(id)
	}
	for i, n := range c.Nodes[primaries:] {
		// It can replicate a primary once it knows it.
		if err := within(topologyTimeout, func(context.Context) error {
			_, err := n.do("CLUSTER", "REPLICATE", ids[i%primaries])
			return err
		}); err != nil {
			return err
		}
	}
	return within(topologyTimeout, func(context.Context) error { return c.check() })
}

// check fails unless all running nodes see all running nodes, all slots are
// served, and every replica is in sync.
func (c *Cluster) check() error {
	var running []*Server
	for _, n := range c.Nodes {
		if !n.current().gone() {
			running = append(running, n)
		}
	}
	for _, n := range running {
		answer, err := n.do("CLUSTER", "INFO")
		if err != nil {
			return err
		}
		if state := fields(fmt.Sprint(answer))["cluster_state"]; state != "ok" {
			return fmt.Errorf("node %s sees the Cluster in state %q", n.Addr(), state)
		}
		table, err := n.nodes()
		if err != nil {
			return err
		}
		for _, other := range running {
			entry, ok := table[other.Addr()]
			if !ok || entry.has("fail") || entry.has("fail?") || entry.has("handshake") || entry.link != "connected" {
				return fmt.Errorf("node %s sees node %s as %q", n.Addr(), other.Addr(), entry.flags)
			}
		}
		if table[n.Addr()].has("slave") {
			if err := n.checkInSync(); err != nil {
				return err
			}
		}
	}
	return nil
}

// nodeEntry is a line of CLUSTER NODES.
type nodeEntry struct {
	id, flags, link string
	slots           []string // "first-last" or "slot"
}

func (e nodeEntry) has(flag string) bool {
	for f := range strings.SplitSeq(e.flags, ",") {
		if f == flag {
			return true
		}
	}
	return false
}

func (e nodeEntry) owns(slot int) bool {
	for _, r := range e.slots {
		first, last, ranged := strings.Cut(r, "-")
		if !ranged {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 == nil && err2 == nil && from <= slot && slot <= to {
			return true
		}
	}
	return false
}

// nodes returns the Cluster as this node sees it, by host:port.
func (s *Server) nodes() (map[string]nodeEntry, error) {
	answer, err := s.do("CLUSTER", "NODES")
	if err != nil {
		return nil, err
	}
	table := map[string]nodeEntry{}
	for line := range strings.Lines(fmt.Sprint(answer)) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		addr, _, _ := strings.Cut(f[1], "@")
		table[addr] = nodeEntry{id: f[0], flags: f[2], link: f[7], slots: f[8:]}
	}
	return table, nil
}

// Addrs returns the host:port of every node, running or not.
func (c *Cluster) Addrs() []string { return addrs(c.Nodes) }

// WaitOK waits until all running nodes see each other, all slots are served and
// every replica is in sync.
func (c *Cluster) WaitOK() {
	c.t.Helper()
	if err := within(topologyTimeout, func(context.Context) error { return c.check() }); err != nil {
		c.t.Fatalf("waiting for the Cluster: %v", err)
	}
}

// Slot returns the slot of a key.
func (c *Cluster) Slot(key string) int {
	c.t.Helper()
	var slot int64
	err := c.ask(func(n *Server) error {
		answer, err := n.do("CLUSTER", "KEYSLOT", key)
		if err != nil {
			return err
		}
		var ok bool
		if slot, ok = answer.(int64); !ok {
			return fmt.Errorf("odd answer %v", answer)
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return int(slot)
}

// ask tries the running nodes until one of them answers.
func (c *Cluster) ask(question func(*Server) error) error {
	var errs []error
	for _, n := range c.Nodes {
		if n.current().gone() {
			continue
		}
		err := question(n)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("node %s: %w", n.Addr(), err))
	}
	return errors.Join(append(errs, errors.New("no node of the Cluster answered"))...)
}

// NodeOf returns the primary that serves a key's slot, waiting for a failover
// under way.
func (c *Cluster) NodeOf(key string) *Server {
	c.t.Helper()
	slot := c.Slot(key)
	var owner *Server
	err := within(topologyTimeout, func(context.Context) error {
		return c.ask(func(n *Server) error {
			table, err := n.nodes()
			if err != nil {
				return err
			}
			for _, candidate := range c.Nodes {
				if e := table[candidate.Addr()]; e.owns(slot) && !e.has("fail") && !candidate.current().gone() {
					owner = candidate
					return nil
				}
			}
			return fmt.Errorf("no node serves slot %d", slot)
		})
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return owner
}

// KillPrimaryOf kills the primary that serves a key's slot and returns it.
func (c *Cluster) KillPrimaryOf(key string) *Server {
	c.t.Helper()
	n := c.NodeOf(key)
	n.Kill()
	return n
}

// host and port of a server as arguments of MIGRATE.
func (s *Server) hostPort() (string, string) {
	host, port, _ := net.SplitHostPort(s.Addr())
	return host, port
}
