package registry

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/internal/byid"
	"github.com/rollcall-sd/rollcall/internal/core"
)

// Snapshot is the state of one service at one moment.
type Snapshot struct {
	Service   string
	Instances []ServiceInfo // callable (passing and warning), oldest first, never nil; shared: read only
	Others    []ServiceInfo // live but not callable (critical, draining); shared: read only
	Revision  uint64        // changes with every change of this service; compare for equality only
	AsOf      time.Time     // reader's clock, when the backend last confirmed this state; moves without waking a watch

	// Stale is nil while the state is current. Otherwise it says why this is only the
	// last known state, and matches ErrUnavailable, or ErrNotReady while there is none
	// yet. Two errors are final, as the watch that yields them ends: ErrClosed and
	// ErrInvalidService.
	Stale error

	confirmed *atomic.Pointer[time.Time] // the present AsOf of a state in a watch; may be nil
}

// Clone returns a deep copy, the caller's own.
func (s Snapshot) Clone() Snapshot {
	s.Instances = cloneServices(s.Instances)
	s.Others = cloneServices(s.Others)
	return s
}

// Catalog is the set of service names with a live instance at one moment.
type Catalog struct {
	Names    []string  // sorted, never nil; shared: read only
	Revision uint64    // changes with every change of the set; compare for equality only
	AsOf     time.Time // reader's clock, when the backend last confirmed this state; moves without waking a watch
	Stale    error     // as Snapshot.Stale
}

// Instance is a live instance with the state of its lease.
type Instance struct {
	ServiceInfo
	Note      string    // of the drain or the health, whichever makes the status; a drain without one has the health's
	ExpiresAt time.Time // backend's clock; zero where registrations do not expire
	Revision  uint64    // changes with every change of this instance; compare for equality only
}

// decodedService is the decoded value of an instance's record. It leaves out what
// the record's header says, and keeps fields that few instances set behind a pointer,
// because it takes this space for every cached instance, next to the ServiceInfo
// in the lists.
type decodedService struct {
	name, version, address, health string
	metadata                       map[string]string
	extras                         *extras // nil if all are unset
	port, weight                   int32
}

type extras struct {
	tags       []string
	extensions map[string]string
	status     Status
}

// newDecodedService converts a valid ServiceInfo and shares its maps and slices.
func newDecodedService(s *ServiceInfo) *decodedService {
	v := &decodedService{
		name: s.Name, version: s.Version, address: s.Address, health: s.HealthEndpoint,
		metadata: s.Metadata, port: int32(s.Port), weight: int32(s.Weight),
	}
	if s.Tags != nil || s.Extensions != nil || s.Status != "" {
		v.extras = &extras{tags: s.Tags, extensions: s.Extensions, status: s.Status}
	}
	return v
}

// status returns the status that the owner set.
func (v *decodedService) status() Status {
	if v.extras == nil {
		return ""
	}
	return v.extras.status
}

// fill sets all of info as the owner registered it, with Weight and Status always
// set. Maps and slices are shared.
func (v *decodedService) fill(info *ServiceInfo, e *core.Entry) {
	info.ID, info.Name, info.RegisteredAt = e.ID, v.name, time.UnixMicro(e.RegisteredAt).UTC()
	info.Version, info.Address, info.HealthEndpoint = v.version, v.address, v.health
	info.Port, info.Weight, info.Metadata = int(v.port), int(max(v.weight, 1)), v.metadata
	var x extras
	if v.extras != nil {
		x = *v.extras
	}
	info.Tags, info.Extensions, info.Status = x.tags, x.extensions, cmp.Or(x.status, StatusPassing)
}

// visibleService returns an entry as users see it, and its overlay. Maps and slices
// are shared.
func visibleService(e *core.Entry) (info ServiceInfo, over overlay) {
	e.Value.(*decodedService).fill(&info, e)
	over = decodeOverlay(e.Overlay)
	info.Status = over.status(info.Status)
	return info, over
}

// snapshotLists are the lists of all snapshots of one state.
type snapshotLists struct{ instances, others []ServiceInfo }

func newSnapshotLists(c *core.Content) any {
	l := &snapshotLists{instances: make([]ServiceInfo, 0, len(c.Entries)), others: []ServiceInfo{}}
	for _, e := range c.Entries {
		if v := e.Value.(*decodedService); len(e.Overlay) == 0 && v.status().callable() {
			l.instances = l.instances[:len(l.instances)+1]
			v.fill(&l.instances[len(l.instances)-1], e)
			continue
		}
		info, _ := visibleService(e)
		if info.Status.callable() {
			l.instances = append(l.instances, info)
		} else {
			l.others = append(l.others, info)
		}
	}
	if 4*len(l.instances) < 3*cap(l.instances) {
		l.instances = slices.Clone(l.instances) // frees the unused capacity
	}
	l.instances = slices.Clip(l.instances)
	return l
}

// set sets all fields of a snapshot.
func (s *Snapshot) set(service string, view *core.View) {
	l := view.Cached(newSnapshotLists).(*snapshotLists)
	s.Service, s.Instances, s.Others = service, l.instances, l.others
	s.Revision, s.AsOf, s.Stale, s.confirmed = view.Revision, view.AsOf, view.Stale, view.Confirmed
}

// find returns the instance with an ID, callable or not, or nil. It is shared: read only.
func (s *Snapshot) find(id string) *ServiceInfo {
	return byid.Find(id, func(i *ServiceInfo) string { return i.ID }, s.Instances, s.Others)
}

func emptySnapshot(service string, stale error) Snapshot {
	return Snapshot{Service: service, Instances: []ServiceInfo{}, Others: []ServiceInfo{}, Stale: stale}
}

func newCatalogNames(c *core.Content) any {
	names := make([]string, len(c.Entries))
	for i, e := range c.Entries {
		names[i] = e.ID
	}
	slices.Sort(names)
	return names
}

func catalogNames(view core.View) []string { return view.Cached(newCatalogNames).([]string) }
