package registry

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
)

func TestEqualMetadataStandsOnce(t *testing.T) {
	known := new(recent).of("n")
	decode := func(change func(*ServiceInfo)) ServiceInfo {
		t.Helper()
		s := typicalService()
		change(&s)
		data, err := encodeService(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeService("n", "i", 1, data, known)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got.Metadata, s.Metadata) || got.Version != s.Version || got.Weight != s.Weight {
			t.Fatalf("got %+v, want %+v", got, s)
		}
		return got
	}
	shared := func(a, b ServiceInfo) bool {
		return reflect.ValueOf(a.Metadata).UnsafePointer() == reflect.ValueOf(b.Metadata).UnsafePointer()
	}
	first := decode(func(*ServiceInfo) {})
	second := decode(func(s *ServiceInfo) { s.Version, s.Weight = "v3", 7 })
	if !shared(first, second) {
		t.Error("equal metadata stands twice")
	}
	// Whoever discovers them can change one without the other.
	mine := cloneServices([]ServiceInfo{first, second})
	mine[0].Metadata["zone"] = "changed"
	if mine[1].Metadata["zone"] == "changed" || first.Metadata["zone"] == "changed" {
		t.Error("a change of a copy reached another's metadata")
	}
	// The last few are remembered, not all.
	for i := range 100 {
		decode(func(s *ServiceInfo) { s.Metadata = map[string]string{"commit": fmt.Sprint(i)} })
	}
	if shared(first, decode(func(*ServiceInfo) {})) {
		t.Error("what 100 others came after is still remembered")
	}
	long := func(s *ServiceInfo) { s.HealthEndpoint = "/" + strings.Repeat("h", MaxHealthEndpointBytes-1) }
	if shared(decode(long), decode(long)) {
		t.Error("a long payload is remembered")
	}
}
