package grpcresolver_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/serviceconfig"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// spy is round_robin, and notes what the resolver tells it.
type spy struct {
	balancer.Builder
	mu  sync.Mutex
	log []string
	now chan struct{} // has room for one
}

var spied = &spy{Builder: balancer.Get("round_robin"), now: make(chan struct{}, 1)}

func init() { balancer.Register(spied) }

func (s *spy) Name() string { return "spied_round_robin" }

func (s *spy) ParseConfig(json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	return nil, nil
}

func (s *spy) Build(cc balancer.ClientConn, options balancer.BuildOptions) balancer.Balancer {
	return &spying{s.Builder.Build(cc, options), s}
}

func (s *spy) note(text string) {
	s.mu.Lock()
	s.log = append(s.log, text)
	s.mu.Unlock()
	select {
	case s.now <- struct{}{}:
	default:
	}
}

// take returns what was noted since the last time.
func (s *spy) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.log
	s.log = nil
	return log
}

type spying struct {
	balancer.Balancer
	spy *spy
}

func (s *spying) UpdateClientConnState(state balancer.ClientConnState) error {
	var text strings.Builder
	for _, e := range state.ResolverState.Endpoints {
		fmt.Fprintf(&text, "%s %q %d;", e.Addresses[0].Addr, grpcresolver.Zone(e.Attributes), grpcresolver.Weight(e.Attributes))
	}
	s.spy.note(text.String())
	return s.Balancer.UpdateClientConnState(state)
}

func (s *spying) ResolverError(err error) {
	s.spy.note("error: " + err.Error())
	s.Balancer.ResolverError(err)
}

// expect waits for one note.
func (s *spy) expect(t *testing.T, ok func(string) bool) {
	t.Helper()
	select {
	case <-s.now:
	case <-time.After(20 * time.Second):
		t.Fatal("the policy received nothing")
	}
	if log := s.take(); len(log) != 1 || !ok(log[0]) {
		t.Fatalf("the policy received %q", log)
	}
}

func has(text string) func(string) bool {
	return func(s string) bool { return strings.Contains(s, text) }
}

func TestPolicyReceivesOnlyChanges(t *testing.T) {
	b := localRegistry(t)
	spied.take()
	one, two := start(t, "one"), start(t, "two")
	in := func(zone string, weight int) func(*registry.ServiceInfo) {
		return func(s *registry.ServiceInfo) {
			s.Weight, s.Metadata = weight, map[string]string{registry.MetadataZone: zone}
		}
	}
	register(t, b, one.service(in("eu-1", 3)))
	conn := client(t, b, "rollcall:///api", policy("spied_round_robin", "{}"))
	until(t, conn, "one")
	spied.expect(t, has(fmt.Sprintf(`%s "eu-1" 3;`, one.addr)))

	// What gRPC has no use for, another order, and a ghost on the same address.
	register(t, b, one.service(in("eu-1", 3), func(s *registry.ServiceInfo) { s.Version = "2" }))
	ghost := one.service(in("eu-1", 3))
	ghost.ID = "one's successor"
	register(t, b, ghost)
	must(t, b.SetStatus(t.Context(), "one", registry.StatusWarning, "slow"))
	must(t, b.Deregister(t.Context(), "one"))
	register(t, b, two.service())
	spied.expect(t, has(fmt.Sprintf(`%s "" 1;`, two.addr)))

	register(t, b, two.service(in("eu-2", 0)))
	spied.expect(t, has(fmt.Sprintf(`%s "eu-2" 1;`, two.addr)))
	until(t, conn, "one", "two")
	if made := len(one.connections) + len(two.connections); made != 2 {
		t.Errorf("%d connections were made to 2 servers", made)
	}
}

// While Redis is unavailable calls go on, with the connections that stand, and the
// policy is updated once.
func TestRedisAway(t *testing.T) {
	redis := redistest.Start(t)
	b := openRedis(t, redis)
	spied.take()
	one, two := start(t, "one"), start(t, "two")
	register(t, b, one.service(), two.service())
	conn := client(t, b, "rollcall:///api", policy("spied_round_robin", "{}"))
	until(t, conn, "one", "two")
	spied.expect(t, has(one.addr))

	redis.Kill()
	late := time.After(20 * time.Second)
	for updated := false; !updated; {
		select {
		case <-spied.now:
			updated = true
		case <-late:
			t.Fatal("in 20 s without Redis the policy received nothing")
		default:
			until(t, conn, "one", "two")
		}
	}
	if log := spied.take(); len(log) != 1 || !strings.HasPrefix(log[0], `error: rollcall: using the last known instances of "api"`) {
		t.Errorf("the policy received %q", log)
	}
	until(t, conn, "one", "two")
	redis.Restart() // without a memory
	three := start(t, "three")
	for back := time.Now(); ; until(t, conn, "one", "two") {
		err := b.Register(t.Context(), three.service())
		if err == nil {
			break
		}
		if time.Since(back) > 20*time.Second {
			t.Fatalf("20 s after Redis is back: %v", err)
		}
	}
	until(t, conn, "one", "two", "three")
	if made := len(one.connections) + len(two.connections); made != 2 {
		t.Errorf("%d connections were made to 2 servers: the addresses went away", made)
	}
	for _, update := range spied.take() {
		if !strings.Contains(update, "error: ") && (!strings.Contains(update, one.addr) || !strings.Contains(update, two.addr)) {
			t.Errorf("after the outage the policy received %q", update)
		}
	}
}
