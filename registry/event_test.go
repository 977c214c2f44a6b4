package registry_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

func TestEventsShowProgramHostAndProcess(t *testing.T) {
	host, err := os.Hostname()
	must(t, err)
	want := fmt.Sprintf("%s@%s pid %d", filepath.Base(os.Args[0]), host, os.Getpid())
	server := redistest.Start(t)
	redis, err := registry.Open(t.Context(), server.URL())
	must(t, err)
	for _, b := range []registry.Backend{registry.NewLocalRegistry(), redis} {
		t.Cleanup(func() { b.Close() })
		must(t, b.Register(t.Context(), instance("api", "a")))
		events, err := b.Events(t.Context(), "api")
		must(t, err)
		if len(events) != 1 || events[0].By != want {
			t.Errorf("%T: the events are %+v, want one by %q", b, events, want)
		}
	}
}

func TestEventsShowTheNameOfTheConfiguration(t *testing.T) {
	server := redistest.Start(t)
	open := func(name string) (*registry.RedisRegistry, error) {
		return registry.NewRedisRegistry(t.Context(), registry.RedisRegistryConfig{RedisAddr: server.Addr(), Name: name})
	}
	longest := strings.Repeat("n", registry.MaxNameBytes)
	for _, name := range []string{"the api", "名前 \"x\" \\ pid 7 pid 8", longest} {
		b, err := open(name)
		must(t, err)
		t.Cleanup(func() { b.Close() })
		must(t, b.Register(t.Context(), instance("api", "a")))
		must(t, b.SetStatus(t.Context(), "a", registry.StatusWarning, ""))
		events, err := b.Events(t.Context(), "api")
		must(t, err)
		if e := events[len(events)-1]; e.By != name || e.Kind != registry.EventStatus || e.Note != "warning" {
			t.Errorf("the last event is %+v, want one by %q", e, name)
		}
	}
	for _, name := range []string{"two\nlines", "tab\t", "\xff", longest + "n"} {
		if _, err := open(name); !errors.Is(err, registry.ErrInvalidConfig) || !strings.Contains(err.Error(), "Name") {
			t.Errorf("a registry named %.20q: %v, want an ErrInvalidConfig that says Name", name, err)
		}
	}
}

func ExampleBackend_events() {
	ctx := context.Background()
	backend := registry.NewLocalRegistry()
	defer backend.Close()
	_ = backend.Register(ctx, registry.ServiceInfo{ID: "api-1", Name: "api", Address: "10.0.0.5", Port: 8080})
	_ = backend.SetStatus(ctx, "api-1", registry.StatusCritical, "disk is full")
	_ = backend.Deregister(ctx, "api-1")

	events, err := backend.Events(ctx, "api")
	if err != nil {
		fmt.Println(err)
	}
	for _, e := range events { // e.Time and e.By say when and by which process
		fmt.Printf("%s %s %q\n", e.ID, e.Kind, e.Note)
	}
	// Output:
	// api-1 registered ""
	// api-1 status "critical: disk is full"
	// api-1 deregistered ""
}
