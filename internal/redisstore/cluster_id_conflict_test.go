package redisstore

import (
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// orders returns every interleaving of two sequences of steps.
func orders(a, b []string) [][]string {
	switch {
	case len(a) == 0:
		return [][]string{b}
	case len(b) == 0:
		return [][]string{a}
	}
	var all [][]string
	for _, rest := range orders(a[1:], b) {
		all = append(all, append([]string{a[0]}, rest...))
	}
	for _, rest := range orders(a, b[1:]) {
		all = append(all, append([]string{b[0]}, rest...))
	}
	return all
}

// Two calls register one ID under two names concurrently, in every order of their
// steps: it then stands under the newer one's name only, and the older one's
// owner learns of it with its next renewal.
//
// Promise 5: the newest owner wins.
func TestClusterResolvesIDConflictsInEveryOrder(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	cfg := redisclient.Config{Addrs: cluster.Addrs()}
	names := []string{"first", "second"}
	// In the last, the answer to the first call's index step is lost, and it is repeated.
	for kind, owners := range map[string][2]string{"two owners": {"alpha", "beta"}, "one owner": {"alpha", "alpha"}} {
		for _, steps := range [][2]string{{"index,write,resolve", "index,write,resolve"}, {"write,index,resolve", "index,write,resolve"},
			{"index,write,resolve", "write,index,resolve"}, {"write,index,resolve", "write,index,resolve"},
			{"unanswered,write,index,resolve", "index,write,resolve"}} {
			row := func(who, steps string) (out []string) {
				for _, step := range strings.Split(steps, ",") {
					out = append(out, who+step)
				}
				return out
			}
			for _, order := range orders(row("0", steps[0]), row("1", steps[1])) {
				t.Run(kind+" "+strings.Join(order, " "), func(t *testing.T) {
					stores := [2]*Store{openTest(t, cfg, t.Name(), owners[0]), nil}
					if stores[1] = stores[0]; owners[1] != owners[0] {
						stores[1] = openTest(t, cfg, t.Name(), owners[1])
						t.Cleanup(func() { closeTest(t, stores[1]) })
					}
					t.Cleanup(func() { closeTest(t, stores[0]) })
					var entries [2][]*indexWrite
					var results [2]store.PutResult
					for _, step := range order {
						i, s := int(step[0]-'0'), stores[step[0]-'0']
						switch step[1:] {
						case "unanswered":
							s.awaitIDIndex(t.Context(), s.writeIDIndex(map[string]string{"x": names[i]}))
						case "index":
							entries[i] = s.writeIDIndex(map[string]string{"x": names[i]})
							s.awaitIDIndex(t.Context(), entries[i])
						case "write":
							results[i] = s.put(t.Context(), []store.Put{putOf(names[i], "x", "payload of "+names[i])}, true)[0]
							if results[i].Err != nil || results[i].Outcome != store.Done {
								t.Fatalf("write: %+v", results[i])
							}
						case "resolve":
							if err := s.resolveIDConflicts(t.Context(), map[string]string{"x": names[i]}, entries[i], new(oldRecords)); err != nil {
								t.Fatalf("resolve: %v", err)
							}
						}
					}
					newer := 0
					if standsOver(&store.Record{Owner: owners[1], Seq: results[1].Seq, RegisteredAt: results[1].RegisteredAt},
						&store.Record{Owner: owners[0], Seq: results[0].Seq, RegisteredAt: results[0].RegisteredAt}) {
						newer = 1
					}
					older := 1 - newer
					if got := readTest(t, stores[0], names[newer]).Records; len(got) != 1 {
						t.Errorf("under the newer name stand %d records", len(got))
					}
					if got := readTest(t, stores[0], names[older]).Records; len(got) != 0 {
						t.Errorf("under the older name stand %d records", len(got))
					}
					if owners[0] == owners[1] {
						return
					}
					renewal := stores[older].Renew(t.Context(), []store.ServiceLeases{{Service: names[older], TTL: testTTL,
						Leases: []store.Lease{{ID: "x", RegisteredAt: results[older].RegisteredAt}}}})[0]
					if renewal.Err != nil || renewal.Outcomes["x"] != store.Superseded {
						t.Errorf("the older owner's renewal is answered %+v, want Superseded", renewal)
					}
				})
			}
		}
	}
}

func closeTest(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
