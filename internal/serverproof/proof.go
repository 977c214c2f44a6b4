// Package serverproof runs the conformance suite and a fault drill on a server that
// others use: in namespaces of its own, with faults of its own connections only. It
// stops nothing, changes no setting and removes what it wrote.
//
//	proof.go        the namespaces, and what is removed at the end
//	line.go         connections that can be cut, held and refused
//	conformance.go  the conformance suite
//	drill.go        the order of the drill, its rows
//	scene.go        owners, readers and watches of a drill
//	faults.go       the faults
package serverproof

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/bridge"
	"github.com/rollcall-sd/rollcall/internal/redisstore"
	"github.com/rollcall-sd/rollcall/registry"
)

// Report is what Run found. The names of the JSON keys are stable.
type Report struct {
	Conformance Conformance `json:"conformance"`
	Drill       []Row       `json:"drill"`
}

// Failed reports whether a promise was broken.
func (r Report) Failed() bool {
	for _, row := range r.Drill {
		if row.Failure != "" {
			return true
		}
	}
	return len(r.Conformance.Failures) > 0
}

// String has the suite's failures, and the rows as a table of Markdown.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "conformance: %d checks passed, %d failed\n", r.Conformance.Passed, len(r.Conformance.Failures))
	for _, f := range r.Conformance.Failures {
		fmt.Fprintf(&b, "failed   %s: %s\n", f.Check, f.Text)
	}
	fmt.Fprintf(&b, "\nwith TTL %v and heartbeat %v:\n\n| fault | then | promised within | worst |\n|---|---|---|---:|\n", drillTTL, drillHeartbeat)
	for _, row := range r.Drill {
		figure := fmt.Sprintf("%d ms", row.WorstMS)
		if row.Failure != "" {
			figure = "FAILED: " + row.Failure
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.Fault, row.Then, row.Promised, figure)
	}
	return b.String()
}

// prover is one run.
type prover struct {
	base   registry.RedisRegistryConfig // without a namespace
	client redis.UniversalClient        // for what the registries do not do
}

// Run proves the server of a registry's URL. It takes about half a minute. The error is
// about the URL, the connection or ctx; broken promises are in the report.
func Run(ctx context.Context, url string) (Report, error) {
	cfg, err := registry.ParseURL(url)
	if err != nil {
		return Report{}, err
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	client, err := bridge.Dial(cfg)
	if err != nil {
		return Report{}, err
	}
	defer client.Close()
	p := &prover{base: cfg, client: client.(redis.UniversalClient)}
	var report Report
	if err := p.tryNamespace(ctx); err != nil {
		return report, err
	}
	if report.Conformance, err = p.conformance(ctx); err != nil {
		return report, err
	}
	report.Drill, err = p.drill(ctx)
	return report, err
}

// tryNamespace registers once, so that a missing right is one error.
func (p *prover) tryNamespace(ctx context.Context) error {
	s := &scene{prover: p, namespace: p.namespace()}
	defer s.close()
	_, err := s.owner(ctx, "a1", 1)
	return err
}

// namespace returns one that nothing else uses. It begins with that of the URL.
func (p *prover) namespace() string {
	return cmp.Or(p.base.Namespace, registry.DefaultNamespace) + "-doctor-" + strings.ToLower(rand.Text())
}

// config returns the configuration of a registry.
func (p *prover) config(namespace string, ttl, heartbeat time.Duration) registry.RedisRegistryConfig {
	cfg := p.base
	cfg.Namespace, cfg.TTL, cfg.HeartbeatInterval = namespace, ttl, heartbeat
	return cfg
}

// cleanUpTimeout bounds the removal of a namespace. What is left expires.
const cleanUpTimeout = 5 * time.Second

// remove removes the keys of a namespace.
func (p *prover) remove(namespace string) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpTimeout)
	defer cancel()
	keys := redisstore.SharedKeys(namespace)
	names, _ := p.client.ZRange(ctx, keys[0], 0, -1).Result() // without them the keys of services expire
	for _, name := range names {
		keys = append(keys, redisstore.ServiceKeys(namespace, name)...)
	}
	p.delete(ctx, keys)
}

// delete deletes keys. On a Cluster they are in different slots.
func (p *prover) delete(ctx context.Context, keys []string) {
	pipe := p.client.Pipeline()
	for _, key := range keys {
		pipe.Del(ctx, key)
	}
	_, _ = pipe.Exec(ctx) // what is left expires
}
