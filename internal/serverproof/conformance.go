package serverproof

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/bridge"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

// Conformance is the result of the suite of package registrytest.
type Conformance struct {
	Passed   int       `json:"passed"`
	Failures []Failure `json:"failures"`
}

// Failure is a check that failed.
type Failure struct {
	Check string `json:"check"`
	Text  string `json:"text"`
}

const (
	suiteTTL       = 2 * time.Second
	suiteHeartbeat = 500 * time.Millisecond
)

// conformance runs the suite. Refused writes are not part of it: only a setting of the
// server, or of the user, would cause them.
func (p *prover) conformance(ctx context.Context) (Conformance, error) {
	out := Conformance{Failures: []Failure{}}
	harness := registrytest.Harness{
		Backend: true, Shared: true, Expiry: true, Mute: true,
		TTL: suiteTTL, Heartbeat: suiteHeartbeat,
		New: func(tb testing.TB) registrytest.Universe {
			namespace, l := p.namespace(), newLine()
			tb.Cleanup(func() {
				l.close()
				p.remove(namespace)
			})
			return registrytest.Universe{
				Open: func(tb testing.TB) registry.Registry {
					opened, err := bridge.Open(tb.Context(), p.config(namespace, suiteTTL, suiteHeartbeat), l.dial)
					if err != nil {
						tb.Fatalf("open: %v", err)
					}
					return opened.(registry.Registry)
				},
				Mute: l.hold,
			}
		},
	}
	err := bridge.Conform(ctx, harness, func(check string, failures []string) {
		if len(failures) == 0 {
			out.Passed++
			return
		}
		out.Failures = append(out.Failures, Failure{check, strings.Join(failures, "; ")})
	})
	slices.SortFunc(out.Failures, func(a, b Failure) int { return strings.Compare(a.Check, b.Check) })
	return out, err
}
