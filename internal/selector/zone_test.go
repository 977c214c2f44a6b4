package selector

import (
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
)

func TestSplitZone(t *testing.T) {
	zones := map[string]string{"a": "z1", "b": "", "c": "z1", "d": "z2"}
	info := func(id string) *registry.ServiceInfo {
		s := &registry.ServiceInfo{ID: id}
		if zones[id] != "" {
			s.Metadata = map[string]string{registry.MetadataZone: zones[id]}
		}
		return s
	}
	for _, c := range []struct{ list, zone, near, far string }{
		{"a b c d", "z1", "a c", "b d"},
		{"a b c d", "z2", "d", "a b c"},
		{"a b c d", "z3", "a b c d", ""},
		{"a b c d", "", "a b c d", ""},
		{"a c", "z1", "a c", ""},
		{"", "z1", "", ""},
	} {
		near, far := SplitZone(strings.Fields(c.list), c.zone, info)
		if strings.Join(near, " ") != c.near || strings.Join(far, " ") != c.far {
			t.Errorf("[%s] in %q: near %v, far %v", c.list, c.zone, near, far)
		}
	}
}

func TestAbsence(t *testing.T) {
	one := []registry.ServiceInfo{{ID: "a", Status: registry.StatusPassing}}
	others := []registry.ServiceInfo{{Status: registry.StatusDraining}, {Status: registry.StatusCritical}, {Status: registry.StatusCritical}}
	for _, c := range []struct {
		snap      registry.Snapshot
		selection string
		want      string
	}{
		{registry.Snapshot{Service: "api"}, "version=^2", `no instances of "api"`},
		{registry.Snapshot{Service: "api", Others: others}, "version=^2", `no callable instances of "api": 2 critical, 1 draining`},
		{registry.Snapshot{Service: "api", Instances: one, Others: others}, "version=^2", `none of the 1 callable instances of "api" matches version=^2`},
		{registry.Snapshot{Service: "api", Instances: one, Others: others}, "", `no callable instances of "api": a newer registration has the address of each, and is critical or draining`},
	} {
		if got := Absence(&c.snap, c.selection); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
