package consulapi

import (
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
)

func TestEventsSayWhatHappened(t *testing.T) {
	d := start(t, localBackend(t), "n1")
	d.register(`{"ID":"a","Name":"api","Port":1}`)
	d.must("PUT", "/v1/agent/service/maintenance/a?enable=true&reason=new+disk", "")
	d.must("PUT", "/v1/agent/service/deregister/a", "")
	list, _ := readAs[[]eventJSON](d, "/v1/events/api")
	var kinds []registry.EventKind
	for _, e := range list {
		kinds = append(kinds, e.Kind)
		if e.ID != "a" || e.Service != "api" || e.Time.IsZero() || e.By == "" {
			t.Errorf("%+v", e)
		}
	}
	if len(kinds) != 3 || kinds[0] != registry.EventRegistered || kinds[1] != registry.EventStatus || kinds[2] != registry.EventDeregistered {
		t.Errorf("%v", kinds)
	}
	if a := d.must("GET", "/v1/events/none", ""); a.body != "[]\n" {
		t.Errorf("of a service that never was: %s", a.body)
	}
	if a := d.do("GET", "/v1/events/", ""); a.code != 400 {
		t.Errorf("without a name: %d", a.code)
	}
}
