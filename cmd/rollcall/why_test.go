package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

func TestSaysWhatHappened(t *testing.T) {
	url := redisWithPassword(t) + "?ttl=2s"
	backend := open(t, url)
	registerAll(t, backend, registry.ServiceInfo{ID: "stays", Name: "api", Address: "10.0.0.1", Port: 1})
	rollcall(t, url, "register", "--once", "--name", "api", "--id", "x", "--port", "1").want(t, 0, "registered x", "")
	rollcall(t, url, "maint", "x", "on", "--reason", "new disk").want(t, 0, "maintenance", "")
	awaitState(t, backend, "api", "one instance", callable(1))
	r := rollcall(t, url, "why", "x")
	r.want(t, 0, " api ", "")
	inOrder(t, r.out, `^x of api expired \d+ s ago: last heartbeat \d+ s ago, owner rollcall@\S+ pid \d+\n`, `TIME +SERVICE +ID +WHAT`,
		`api +x +expired`, `api +x +set critical \d+ s ago by rollcall@\S+ pid \d+: maintenance: new disk\n`, `api +x +registered \d+ s ago by rollcall@`)
	if strings.Contains(r.out, "stays") {
		t.Errorf("why x also prints another instance:\n%s", r.out)
	}
	rollcall(t, url, "deregister", "stays").want(t, 0, "deregistered", "")
	r = rollcall(t, url, "why", "--service", "api")
	r.want(t, 0, " api ", "")
	inOrder(t, r.out, `api +stays +deregistered \d+ s ago by rollcall@\S+ pid \d+, owner \S+ pid \d+\n`, `api +x +expired`, `api +stays +registered`)

	r = rollcall(t, url, "why", "x", "--service", "api", "--json")
	var events []struct {
		Time                        time.Time
		Service, ID, Kind, By, Note string
	}
	if err := json.Unmarshal([]byte(r.out), &events); err != nil || len(events) != 3 {
		t.Fatalf("%v in %q", err, r.out)
	}
	if e := events[0]; e.Kind != "expired" || e.Service != "api" || e.ID != "x" || e.Time.IsZero() || e.By == "" || !strings.HasPrefix(e.Note, "last heartbeat ") {
		t.Errorf("the newest event is %+v", e)
	}
	rollcall(t, url, "why", "y").want(t, 3, "", `nothing is remembered of "y"`)
	rollcall(t, url, "why", "y", "--service", "api").want(t, 3, "", `nothing is remembered of y`)
	rollcall(t, url, "why", "--service", "none", "--json").want(t, 3, "[]\n", "nothing is remembered of none")
	rollcall(t, url, "why").want(t, 2, "", "ID or --service")
}

func TestEventsAreSentences(t *testing.T) {
	now := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	for want, e := range map[string]registry.Event{
		"registered 12 s ago by p":                           {Kind: registry.EventRegistered, By: "p"},
		"registered again 12 s ago by p, which replaced q":   {Kind: registry.EventReplaced, By: "p", Note: "q"},
		"registered again 12 s ago by an unknown process":    {Kind: registry.EventReplaced},
		"deregistered 12 s ago by p":                         {Kind: registry.EventDeregistered, By: "p"},
		"deregistered 12 s ago by p, owner q":                {Kind: registry.EventDeregistered, By: "p", Note: "q"},
		"expired 12 s ago: last heartbeat 42 s ago, owner p": {Kind: registry.EventExpired, By: "p", Note: "last heartbeat 2025-01-02T03:03:23Z"},
		"expired 12 s ago: owner an unknown process":         {Kind: registry.EventExpired},
		"moved to service web 12 s ago by p":                 {Kind: registry.EventMoved, By: "p", Note: "web"},
		"set warning 12 s ago by p":                          {Kind: registry.EventStatus, By: "p", Note: "warning"},
		"set critical 12 s ago by p: disk: full":             {Kind: registry.EventStatus, By: "p", Note: "critical: disk: full"},
		"drained 12 s ago by p":                              {Kind: registry.EventDrain, By: "p"},
		"undrained 12 s ago by p":                            {Kind: registry.EventUndrain, By: "p"},
	} {
		e.Time = now.Add(-12 * time.Second)
		if got := happened(e, now); got != want {
			t.Errorf("%+v is %q, want %q", e, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Hour: "0 s ago", 61 * time.Second: "1 min 1 s ago", 3 * time.Hour: "3 h 0 min ago", 49 * time.Hour: "2 d 1 h ago",
	} {
		if got := ago(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
