package grpcresolver_test

import (
	"fmt"
	"testing"

	_ "google.golang.org/grpc/balancer/leastrequest"
	_ "google.golang.org/grpc/balancer/ringhash"
	_ "google.golang.org/grpc/balancer/weightedroundrobin"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

func policy(name, config string) grpcresolver.Option {
	return grpcresolver.WithServiceConfig(fmt.Sprintf(`{"loadBalancingConfig":[{%q:%s}]}`, name, config))
}

// policies spread calls over all endpoints.
var policies = map[string]grpcresolver.Option{
	"default":                    grpcresolver.WithServiceConfig(""),
	"methods only":               grpcresolver.WithServiceConfig(`{"methodConfig":[{"name":[{}],"waitForReady":true}]}`),
	"by the older name":          grpcresolver.WithServiceConfig(`{"loadBalancingPolicy":"round_robin"}`),
	"round_robin":                policy("round_robin", "{}"),
	"least_request_experimental": policy("least_request_experimental", "{}"),
	"weighted_round_robin":       policy("weighted_round_robin", `{"blackoutPeriod":"0s","weightUpdatePeriod":"0.1s"}`),
	"ring_hash_experimental":     policy("ring_hash_experimental", `{"requestHashHeader":"no-such-header"}`),
}

// eachFailingFast runs a test under each policy with which calls fail when there is
// no instance.
func eachFailingFast(t *testing.T, test func(t *testing.T, policy grpcresolver.Option)) {
	for name, policy := range policies {
		if name == "methods only" { // it says to wait
			continue
		}
		t.Run(name, func(t *testing.T) { test(t, policy) })
	}
}

// Instances come, turn critical, drain, leave, and the backend is unavailable: no call
// fails, under any policy, and each change arrives.
func TestPolicies(t *testing.T) {
	eachBackend(t, func(t *testing.T, b registry.Backend) {
		for name, policy := range policies {
			t.Run(name, func(t *testing.T) {
				ctx := t.Context()
				flaky := registrytest.NewFlaky(b)
				servers := []*server{start(t, "a"), start(t, "b"), start(t, "c"), start(t, "d")}
				register(t, b, servers[0].service(), servers[1].service(), servers[2].service())
				defer func() {
					for _, s := range servers {
						must(t, b.Deregister(ctx, s.id))
					}
				}()
				conn := client(t, flaky, "rollcall:///api", policy)
				until(t, conn, "a", "b", "c")
				register(t, b, servers[3].service())
				until(t, conn, "a", "b", "c", "d")
				must(t, b.SetStatus(ctx, "a", registry.StatusCritical, "down"))
				until(t, conn, "b", "c", "d")
				must(t, b.SetStatus(ctx, "a", registry.StatusPassing, ""))
				until(t, conn, "a", "b", "c", "d")
				must(t, b.Deregister(ctx, "b"))
				until(t, conn, "a", "c", "d")

				flaky.DisconnectWatches(nil)
				for range 5 {
					until(t, conn, "a", "c", "d")
				}
				flaky.Reconnect()
				until(t, conn, "a", "c", "d")

				// To the last, and back.
				must(t, b.Deregister(ctx, "c"))
				must(t, b.Deregister(ctx, "d"))
				until(t, conn, "a")
				register(t, b, servers[1].service())
				until(t, conn, "a", "b")
			})
		}
	})
}

func TestWeights(t *testing.T) {
	b := localRegistry(t)
	light, heavy := start(t, "light"), start(t, "heavy")
	register(t, b, light.service(), heavy.service(func(s *registry.ServiceInfo) { s.Weight = 9 }))
	conn := client(t, b, "rollcall:///api", policies["ring_hash_experimental"])
	until(t, conn, "light", "heavy")
	const n = 2000
	if got := answers(t, conn, n)["light"]; got < n/20 || got > n/5 {
		t.Errorf("an instance with a tenth of the weight got %d of %d calls", got, n)
	}
	// Weights change without a new connection.
	register(t, b, light.service(func(s *registry.ServiceInfo) { s.Weight = 9 }))
	for answers(t, conn, n)["light"] < n*4/10 {
		continue
	}
	if made := len(light.connections) + len(heavy.connections); made != 2 {
		t.Errorf("%d connections were made to 2 servers", made)
	}
}

func TestDrainWaitsForTheClient(t *testing.T) {
	eachBackend(t, func(t *testing.T, b registry.Backend) {
		one, two := start(t, "one"), start(t, "two")
		register(t, b, one.service(), two.service())
		conn := client(t, b, "rollcall:///api")
		until(t, conn, "one", "two")
		must(t, b.Drain(t.Context(), "one"))
		if count := answers(t, conn, 100); count["two"] != 100 {
			t.Errorf("after Drain returned, the drained instance was called: %v", count)
		}
	})
}
