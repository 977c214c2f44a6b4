package selector

import (
	"slices"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

func instance(id, host string, port, second int) registry.ServiceInfo {
	return registry.ServiceInfo{ID: id, Name: "api", Address: host, Port: port, RegisteredAt: time.Unix(int64(second), 0)}
}

func TestTheNewerRegistrationOfAnAddressWins(t *testing.T) {
	for name, c := range map[string]struct {
		instances, others []registry.ServiceInfo
		want              []string
	}{
		"nothing": {want: nil},
		"each its own": {
			instances: []registry.ServiceInfo{instance("a", "10.0.0.1", 80, 1), instance("b", "10.0.0.1", 81, 2), instance("c", "10.0.0.2", 80, 3)},
			want:      []string{"a", "b", "c"},
		},
		"three at one": {
			instances: []registry.ServiceInfo{instance("a", "10.0.0.1", 80, 1), instance("b", "10.0.0.2", 80, 2),
				instance("c", "10.0.0.1", 80, 3), instance("d", "10.0.0.1", 80, 4)},
			want: []string{"b", "d"},
		},
		"the newer is critical or draining": {
			instances: []registry.ServiceInfo{instance("a", "10.0.0.1", 80, 1), instance("b", "10.0.0.2", 80, 2)},
			others:    []registry.ServiceInfo{instance("c", "10.0.0.1", 80, 3)},
			want:      []string{"b"},
		},
		"the older is critical or draining": {
			instances: []registry.ServiceInfo{instance("b", "10.0.0.1", 80, 2)},
			others:    []registry.ServiceInfo{instance("a", "10.0.0.1", 80, 1)},
			want:      []string{"b"},
		},
		"one address, written in two ways": {
			instances: []registry.ServiceInfo{instance("a", "::1", 80, 1), instance("b", "Host.example", 80, 2),
				instance("c", "0:0:0:0:0:0:0:1", 80, 3), instance("d", "host.example.", 80, 4),
				instance("e", "127.0.0.1", 80, 5), instance("f", "::ffff:127.0.0.1", 80, 6)},
			want: []string{"c", "d", "f"},
		},
		"a watcher that gives no times, but the order": {
			instances: []registry.ServiceInfo{instance("a", "10.0.0.1", 80, 0), instance("b", "10.0.0.1", 80, 0)},
			others:    []registry.ServiceInfo{instance("c", "10.0.0.1", 80, 0)},
			want:      []string{"b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range NewestPerAddress(&registry.Snapshot{Instances: c.instances, Others: c.others}) {
				got = append(got, s.ID)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
