package registry_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// FuzzNamesRoundTrip registers generated services in both stores: an accepted service
// is returned unchanged, both stores refuse the same services, and names are never
// confused.
func FuzzNamesRoundTrip(f *testing.F) {
	server := redistest.Start(f)
	backends := []registry.Backend{registry.NewLocalRegistry()}
	onRedis, err := registry.NewRedisRegistry(context.Background(), registry.RedisRegistryConfig{
		RedisAddr: server.Addr(), Namespace: uuid.NewString(), TTL: time.Minute, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.Fatal(err)
	}
	backends = append(backends, onRedis)
	f.Cleanup(func() {
		for _, b := range backends {
			if err := b.Close(); err != nil {
				f.Error(err)
			}
		}
	})
	f.Add("a:b", "{a}", "id", "10.0.0.1", "v1", "k", "v", uint16(80), uint8(1))
	f.Add("{a}", "a", "{id}", "::1", "", "", "", uint16(1), uint8(0))
	f.Add("a*", "a", "i d", "host", "\"", "\\", "\u2028", uint16(65535), uint8(3))
	f.Add("a b", "a%20b", "", "名", "<&>", "key", "\x00", uint16(0), uint8(2))
	f.Add("名前", "名", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "h", "'", "ключ", "😀", uint16(8080), uint8(1))
	f.Add("%7Ba%7D", "{a}", "+x", "h", "]", "]", "[", uint16(9), uint8(4))
	f.Add("names", "ids:3", "-x", "h", "\xff", "k", "v", uint16(9), uint8(1))
	f.Add("=x", "?", "~", "h", "1", "k", "v", uint16(9), uint8(1))
	f.Fuzz(func(t *testing.T, name, other, id, address, version, key, value string, port uint16, weight uint8) {
		service := registry.ServiceInfo{
			ID: id, Name: name, Address: address, Version: version, Port: int(port), Weight: int(weight), HealthEndpoint: version,
			Metadata: map[string]string{key: value, "fixed": name}, Tags: []string{"t" + key}, Extensions: map[string]string{value: key},
		}
		var accepted []bool
		for _, b := range backends {
			err := b.Register(t.Context(), service)
			if err != nil && !errors.Is(err, registry.ErrInvalidService) {
				t.Fatalf("%T: %v", b, err)
			}
			accepted = append(accepted, err == nil)
			if err == nil {
				comesBack(t, b, service)
				apart(t, b, service, other)
				forget(t, b, name, other)
			}
		}
		if accepted[0] != accepted[1] {
			t.Errorf("the memory accepts it: %v; Redis does: %v", accepted[0], accepted[1])
		}
	})
}

// comesBack requires that a service has one instance, as it was registered.
func comesBack(t *testing.T, b registry.Backend, want registry.ServiceInfo) registry.ServiceInfo {
	t.Helper()
	found, err := b.Discover(t.Context(), want.Name)
	if err != nil || len(found) != 1 {
		t.Fatalf("%T: %d instances of %q, %v", b, len(found), want.Name, err)
	}
	got := found[0]
	if want.ID != "" && got.ID != want.ID || got.ID == "" || got.RegisteredAt.IsZero() {
		t.Errorf("%T: ID %q, registered at %v", b, got.ID, got.RegisteredAt)
	}
	if got.Name != want.Name || got.Address != want.Address || got.Version != want.Version || got.Port != want.Port || got.Weight != max(want.Weight, 1) || got.Status != registry.StatusPassing ||
		got.HealthEndpoint != want.HealthEndpoint || !slices.Equal(got.Tags, want.Tags) ||
		!maps.Equal(got.Metadata, want.Metadata) || !maps.Equal(got.Extensions, want.Extensions) {
		t.Errorf("%T: %+v came back as %+v", b, want, got)
	}
	return got
}

// apart registers a second service: each must have its own instance only.
func apart(t *testing.T, b registry.Backend, first registry.ServiceInfo, other string) {
	t.Helper()
	if other == first.Name {
		return
	}
	second := first
	second.Name, second.ID, second.Metadata = other, "of the other", map[string]string{"of": other}
	if first.ID == second.ID || b.Register(t.Context(), second) != nil {
		return // its name is refused
	}
	one, two := comesBack(t, b, first), comesBack(t, b, second)
	names, err := b.Services(t.Context())
	if err != nil || !slices.Contains(names, first.Name) || !slices.Contains(names, other) || len(names) != 2 {
		t.Errorf("%T: the services are %q, %v; want %q and %q", b, names, err, first.Name, other)
	}
	if err := b.Deregister(t.Context(), two.ID); err != nil {
		t.Fatal(err)
	}
	if got := comesBack(t, b, first); got.ID != one.ID {
		t.Errorf("%T: deregistering %q of %q left %q", b, two.ID, other, got.ID)
	}
	if left, err := b.Discover(t.Context(), other); err != nil || len(left) != 0 {
		t.Errorf("%T: %d instances of %q are left, %v", b, len(left), other, err)
	}
}

// forget deregisters everything before the next input.
func forget(t *testing.T, b registry.Backend, names ...string) {
	t.Helper()
	for _, name := range names {
		found, err := b.Discover(t.Context(), name)
		if errors.Is(err, registry.ErrInvalidService) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range found {
			if err := b.Deregister(t.Context(), s.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
}
