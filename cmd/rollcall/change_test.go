package main

import (
	"context"
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
)

func TestChangesInstances(t *testing.T) {
	url := redisWithPassword(t)
	backend := open(t, url)
	registerAll(t, backend, registry.ServiceInfo{ID: "api-1", Name: "api", Address: "10.0.0.1", Port: 8080})
	is := func(status registry.Status, note string) {
		t.Helper()
		list, err := backend.Instances(t.Context(), "api")
		if err != nil || len(list) != 1 || list[0].Status != status || list[0].Note != note {
			t.Errorf("instances %v, error %v, want one that is %s with the note %q", list, err, status, note)
		}
	}
	rollcall(t, url, "maint", "api-1", "on", "--reason", "new disk").want(t, 0, "maintenance of api-1 is on", "")
	is(registry.StatusCritical, "maintenance: new disk")
	rollcall(t, url, "maint", "api-1", "off").want(t, 0, "maintenance of api-1 is off", "")
	is(registry.StatusPassing, "")
	rollcall(t, url, "maint", "api-1", "on").want(t, 0, "maintenance", "")
	is(registry.StatusCritical, "maintenance")
	rollcall(t, url, "maint", "api-1", "off").want(t, 0, "maintenance", "")

	rollcall(t, url, "drain", "api-1").want(t, 0, "drained api-1", "")
	is(registry.StatusDraining, "")
	rollcall(t, url, "undrain", "api-1").want(t, 0, "api-1 no longer drains", "")
	is(registry.StatusPassing, "")

	rollcall(t, url, "deregister", "api-1").want(t, 0, "deregistered api-1 of api at 10.0.0.1:8080", "")
	awaitState(t, backend, "api", "no instance", callable(0))
	rollcall(t, url, "deregister", "api-1").want(t, 3, "", `no instance has the ID "api-1"`)
	rollcall(t, url, "drain", "api-1").want(t, 3, "", `no instance has the ID "api-1"`)
	rollcall(t, url, "undrain", "api-1").want(t, 3, "", "not found")
	rollcall(t, url, "maint", "api-1", "on").want(t, 3, "", "not found")
}

// A drain says that it waits, fails after its timeout with how many processes it
// waited for, and ends when they have acknowledged.
func TestDrainWaitsForWatchers(t *testing.T) {
	url := redisWithPassword(t)
	backend := open(t, url)
	registerAll(t, backend, registry.ServiceInfo{ID: "api-1", Name: "api", Address: "10.0.0.1", Port: 8080})
	ctx, cancel := context.WithCancel(t.Context())
	watching, resume, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	watcher := open(t, url)
	go func() {
		defer close(ended)
		first := true
		for range watcher.Watch(ctx, "api") {
			if first { // it does not acknowledge until it may go on
				close(watching)
				<-resume
			}
			first = false
		}
	}()
	defer func() { cancel(); <-ended }()
	<-watching
	r := rollcall(t, url, "drain", "api-1", "--timeout", "1s")
	r.want(t, 1, "waiting for each process that watches api, for 1s at most", "1 watching process has not acknowledged it yet")
	check(t, "stderr", r.err, `"rollcall undrain" ends it`)
	p := startProgram(t, []string{backendVariable + "=" + url}, "drain", "api-1")
	p.await(t, "draining api-1 of api at 10.0.0.1:8080: waiting for each process that watches api, for 30s at most")
	close(resume)
	p.exit(t, 0)
	inOrder(t, p.output(), "drained api-1")
}
