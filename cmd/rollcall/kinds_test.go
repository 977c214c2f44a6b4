package main

import (
	"testing"

	"github.com/rollcall-sd/rollcall/internal/redistest"
)

// The commands work on a Cluster and through Sentinels as they do on one server.
func TestKindsOfBackends(t *testing.T) {
	for kind, start := range map[string]func(*testing.T) string{
		"cluster": func(t *testing.T) string {
			return "redis+cluster://" + redistest.StartCluster(t, 3, 0).Addrs()[0]
		},
		"sentinel": func(t *testing.T) string {
			group := redistest.StartSentinels(t)
			return "redis+sentinel://" + group.SentinelAddrs()[0] + "/" + group.MasterName()
		},
	} {
		t.Run(kind, func(t *testing.T) {
			url := start(t)
			rollcall(t, "", "register", "--once", "--name", "api", "--id", "x", "--port", "1", "--backend", url).want(t, 0, "registered x of api", "")
			rollcall(t, url, "maint", "x", "on", "--reason", "new disk").want(t, 0, "maintenance of x is on", "")
			rollcall(t, url, "get", "api").want(t, 0, "maintenance: new disk", "")
			rollcall(t, url, "drain", "x").want(t, 0, "drained x", "")
			rollcall(t, url, "ls", "--json").want(t, 0, `"draining":1`, "")
			rollcall(t, url, "undrain", "x").want(t, 0, "x no longer drains", "")
			rollcall(t, url, "deregister", "x").want(t, 0, "deregistered x of api", "")
			rollcall(t, url, "why", "--service", "api").want(t, 0, "deregistered", "")
			rollcall(t, url, "get", "api").want(t, 3, "", "no instances")
		})
	}
}
