package serverproof

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/bridge"
	"github.com/rollcall-sd/rollcall/internal/redisstore"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/registry"
)

func prove(t *testing.T, url string) Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	stall.Measure(t)
	report, err := Run(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// A sound server keeps all promises, and nothing is left on it but what expires.
func TestProofOfASoundServer(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	client := s.Client(t)
	if err := client.Set(t.Context(), "others", "kept", 0).Err(); err != nil {
		t.Fatal(err)
	}
	report := prove(t, s.URL())
	for _, f := range report.Conformance.Failures {
		t.Errorf("conformance: %+v", f)
	}
	for _, row := range report.Drill {
		t.Logf("%+v", row)
		if row.Failure != "" {
			t.Errorf("%+v", row)
		}
	}
	if report.Conformance.Passed < 50 || len(report.Drill) < 10 {
		t.Errorf("only %d checks and %d rows", report.Conformance.Passed, len(report.Drill))
	}
	if got := client.Get(t.Context(), "others").Val(); got != "kept" {
		t.Errorf("another's key is %q", got)
	}
	keys := client.Keys(t.Context(), "*").Val()
	t.Logf("keys: %q", keys)
	for _, key := range keys {
		if key != "others" && client.TTL(t.Context(), key).Val() <= 0 {
			t.Errorf("%s stays for ever", key)
		}
	}
}

// A server that refuses what a registry needs gives an error, not a hundred failures.
func TestProofNeedsARightToItsNamespaces(t *testing.T) {
	t.Parallel()
	rule := strings.NewReplacer("~rollcall:*", "~rollcall:default:*", "&rollcall:*", "&rollcall:default:*").Replace(redisstore.ACLRule)
	s := redistest.Start(t, redistest.WithACLFile("user default on nopass ~* &* +@all\nuser app on >secret "+rule))
	_, err := Run(t.Context(), "redis://app:secret@"+s.Addr())
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

// The lines work under TLS, too, and on each node of a Cluster.
func TestDrillOverTLSOnACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, 0, redistest.WithTLS())
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, cluster.Nodes[0].CA().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := registry.ParseURL("rediss+cluster://" + cluster.Addrs()[0] + "?ca_file=" + url.QueryEscape(file))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	client, err := bridge.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	stall.Measure(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	rows, err := (&prover{base: cfg, client: client.(redis.UniversalClient)}).drill(ctx)
	if err != nil || len(rows) < 10 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows {
		t.Logf("%+v", row)
		if row.Failure != "" {
			t.Errorf("%+v", row)
		}
	}
}

// A broken promise is reported with its text, and the row keeps its worst figure.
func TestBrokenPromisesAreReported(t *testing.T) {
	var r rows
	r.note(faultCut, thenChange, afterHeartbeat, 3*time.Millisecond, nil)
	r.note(faultCut, thenChange, afterHeartbeat, 2*time.Millisecond, errors.Join(errors.New("first"), errors.New("second")))
	r.note(faultHold, thenStale, afterHeartbeat, time.Millisecond, nil)
	want := []Row{
		{Fault: faultCut, Then: thenChange, Promised: afterHeartbeat, WorstMS: 3, Failure: "first; second"},
		{Fault: faultHold, Then: thenStale, Promised: afterHeartbeat, WorstMS: 1},
	}
	if !slices.Equal(r, want) {
		t.Errorf("%+v", r)
	}
	report := Report{Drill: r}
	if !report.Failed() || !strings.Contains(report.String(), "| FAILED: first; second |") {
		t.Error(report)
	}
	if report := (Report{Drill: r[1:]}); report.Failed() || !strings.Contains(report.String(), "| 1 ms |") {
		t.Error(report)
	}
	if _, err := within(t.Context(), time.Now().Add(-time.Minute), time.Second, func() error { return nil }); err == nil {
		t.Error("a late condition counts as in time")
	}
	if _, err := within(t.Context(), time.Now().Add(-time.Minute), time.Second, func() error { return errors.New("missing") }); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a condition that stays false: %v", err)
	}
}

// What a watch dropped is remembered, also when it came back.
func TestDroppedInstancesAreRemembered(t *testing.T) {
	w := &watch{dropped: map[string]bool{}}
	both := registry.Snapshot{Instances: []registry.ServiceInfo{{ID: "a1"}, {ID: "b1"}}}
	for _, s := range []registry.Snapshot{both, {Instances: both.Instances[:1]}, both} {
		w.take(s)
	}
	if w.kept("a1") != nil || w.kept("a1", "b1") == nil || w.shows("a1", "b1")() != nil {
		t.Errorf("dropped %v", w.dropped)
	}
}
