package main

import (
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

func TestWatchesChanges(t *testing.T) {
	url := redisWithPassword(t)
	backend := open(t, url)
	p := startProgram(t, []string{backendVariable + "=" + url}, "watch", "api")
	j := startProgram(t, []string{backendVariable + "=" + url}, "watch", "api", "--json")
	p.await(t, `= no instances of "api"`)
	j.await(t, `"instances":\[\]`)
	registerAll(t, backend, registry.ServiceInfo{ID: "api-1", Name: "api", Address: "10.0.0.1", Port: 8080, Version: "1.2.0",
		Tags: []string{"a", "b"}, Metadata: map[string]string{"zone": "eu"}})
	p.await(t, `\+ api-1 10\.0\.0\.1:8080 passing version 1\.2\.0 zone eu tags a,b`)
	j.await(t, `"id":"api-1"`)
	if err := backend.SetStatus(t.Context(), "api-1", registry.StatusCritical, ""); err != nil {
		t.Fatal(err)
	}
	p.await(t, `~ api-1 status passing -> critical`)
	j.await(t, `"others":\[\{"id":"api-1"`)
	if err := backend.Deregister(t.Context(), "api-1"); err != nil {
		t.Fatal(err)
	}
	p.await(t, `- api-1 10\.0\.0\.1:8080`)
	for _, p := range []*program{p, j} {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		p.exit(t, 0)
	}
	const golden = `T = no instances of "api"
T + api-1 10.0.0.1:8080 passing version 1.2.0 zone eu tags a,b
T ~ api-1 status passing -> critical
T - api-1 10.0.0.1:8080`
	if got := varying.ReplaceAllString(p.output(), "T"); got != golden {
		t.Errorf("printed\n%s\nwant\n%s", got, golden)
	}
	for line := range strings.Lines(j.output()) {
		var snap struct {
			Service, Revision string
			Instances, Others []map[string]any
			AsOf              time.Time `json:"as_of"`
			Stale             *string
		}
		if err := json.Unmarshal([]byte(line), &snap); err != nil || snap.Service != "api" || snap.Revision == "" ||
			snap.Instances == nil || snap.Others == nil || snap.AsOf.IsZero() || snap.Stale != nil {
			t.Errorf("error %v in the line %s", err, line)
		}
	}
}

// Lines say what changed, and when the backend is unavailable.
func TestChangesOfAWatch(t *testing.T) {
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.Local)
	first := registry.ServiceInfo{ID: "a", Name: "s", Address: "10.0.0.1", Port: 1, Status: registry.StatusPassing, Weight: 1, RegisteredAt: at}
	second := first
	second.Version, second.RegisteredAt, second.Metadata = "2", at.Add(time.Second), map[string]string{"x": "y"}
	other := first
	other.ID, other.Tags = "b\x1b", []string{"t"}
	snaps := []registry.Snapshot{
		{Service: "s", Stale: registry.ErrNotReady},
		{Service: "s", Instances: []registry.ServiceInfo{first}},
		{Service: "s", Instances: []registry.ServiceInfo{first}, Stale: errors.New("no route")},
		{Service: "s", Instances: []registry.ServiceInfo{first}},
		{Service: "s", Instances: []registry.ServiceInfo{first}, Revision: 1},
		{Service: "s", Instances: []registry.ServiceInfo{second}, Others: []registry.ServiceInfo{other}},
		{Service: "s"},
	}
	var follow changes
	var got []string
	for _, snap := range snaps {
		got = append(got, follow.lines(at, snap)...)
	}
	const want = `03:04:05 ! last known state: no state known yet
03:04:05 ! current again
03:04:05 + a 10.0.0.1:1 passing
03:04:05 ! last known state: no route
03:04:05 ! current again
03:04:05 ~ a version - -> 2, metadata changed, registered again
03:04:05 + b� 10.0.0.1:1 passing tags t
03:04:05 - b� 10.0.0.1:1
03:04:05 - a 10.0.0.1:1`
	if lines := strings.Join(got, "\n"); lines != want {
		t.Errorf("lines\n%s\nwant\n%s", lines, want)
	}
}
