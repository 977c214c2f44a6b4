package registry

import (
	"slices"

	"github.com/rollcall-sd/rollcall/internal/core"
)

// lists is what a face makes of a core.Content, once.
type lists struct{ instances, others []ServiceInfo }

func makeLists(c *core.Content) any {
	l := &lists{instances: make([]ServiceInfo, 0, len(c.Entries)), others: []ServiceInfo{}}
	for _, e := range c.Entries {
		if v := e.Value.(*stored); len(e.Overlay) == 0 && v.status().callable() {
			l.instances = l.instances[:len(l.instances)+1]
			v.show(&l.instances[len(l.instances)-1], e)
			continue
		}
		info, _ := visible(e)
		if info.Status.callable() {
			l.instances = append(l.instances, info)
		} else {
			l.others = append(l.others, info)
		}
	}
	if 4*len(l.instances) < 3*cap(l.instances) {
		l.instances = slices.Clone(l.instances) // do not hold on to the rest
	}
	l.instances = slices.Clip(l.instances)
	return l
}

// visible is an entry as users see it; its maps and slices are shared.
func visible(e *core.Entry) (info ServiceInfo, over overlay) {
	e.Value.(*stored).show(&info, e)
	over = decodeOverlay(e.Overlay)
	info.Status = over.status(info.Status)
	return info, over
}

// show sets all of a snapshot.
func (s *Snapshot) show(service string, view *core.View) {
	l := view.Cached(makeLists).(*lists)
	s.Service, s.Instances, s.Others = service, l.instances, l.others
	s.Revision, s.AsOf, s.Stale, s.confirmed = view.Revision, view.AsOf, view.Stale, view.Confirmed
}

func emptySnapshot(service string, stale error) Snapshot {
	return Snapshot{Service: service, Instances: []ServiceInfo{}, Others: []ServiceInfo{}, Stale: stale}
}

func makeNames(c *core.Content) any {
	names := make([]string, len(c.Entries))
	for i, e := range c.Entries {
		names[i] = e.ID
	}
	slices.Sort(names)
	return names
}

func namesOf(view core.View) []string { return view.Cached(makeNames).([]string) }
