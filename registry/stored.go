package registry

import (
	"cmp"
	"time"

	"github.com/rollcall-sd/rollcall/internal/core"
)

// stored is the value of an instance's record: a ServiceInfo without what the
// record says itself, and with what few instances have kept apart, because
// every cached instance takes this space beside its place in the lists.
type stored struct {
	name, version, address, health string
	metadata                       map[string]string
	extras                         *extras // nil: none
	port, weight                   int32
}

type extras struct {
	tags       []string
	extensions map[string]string
	status     Status
}

// newStored takes a valid ServiceInfo, whose maps and slices it shares.
func newStored(s *ServiceInfo) *stored {
	v := &stored{
		name: s.Name, version: s.Version, address: s.Address, health: s.HealthEndpoint,
		metadata: s.Metadata, port: int32(s.Port), weight: int32(s.Weight),
	}
	if s.Tags != nil || s.Extensions != nil || s.Status != "" {
		v.extras = &extras{tags: s.Tags, extensions: s.Extensions, status: s.Status}
	}
	return v
}

// status is what the owner says.
func (v *stored) status() Status {
	if v.extras == nil {
		return ""
	}
	return v.extras.status
}

// show sets all of info, as the owner put it, with Weight and Status always set;
// its maps and slices are shared.
func (v *stored) show(info *ServiceInfo, e *core.Entry) {
	info.ID, info.Name, info.RegisteredAt = e.ID, v.name, time.UnixMicro(e.RegisteredAt).UTC()
	info.Version, info.Address, info.HealthEndpoint = v.version, v.address, v.health
	info.Port, info.Weight, info.Metadata = int(v.port), int(max(v.weight, 1)), v.metadata
	var x extras
	if v.extras != nil {
		x = *v.extras
	}
	info.Tags, info.Extensions, info.Status = x.tags, x.extensions, cmp.Or(x.status, StatusPassing)
}
