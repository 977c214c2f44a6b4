package registry

import (
	"reflect"
	"testing"
)

func TestCopiesOfServicesAreTheCallersOwn(t *testing.T) {
	spare := append(make([]string, 0, 8), "x", "y")
	originals := func() []ServiceInfo {
		return []ServiceInfo{
			{ID: "nothing"},
			{ID: "empty", Metadata: map[string]string{}, Tags: spare[:0], Extensions: map[string]string{}},
			{ID: "all", Metadata: map[string]string{"k": "v"}, Tags: spare, Extensions: map[string]string{"e": "x"}},
			{ID: "more", Metadata: map[string]string{"k": "v"}, Tags: []string{"z"}},
		}
	}
	from := originals()
	got := cloneServices(from)
	for i, s := range from {
		if !reflect.DeepEqual(got[i], s) || !reflect.DeepEqual(s.Clone(), s) {
			t.Errorf("copied %+v as %+v and %+v", s, got[i], s.Clone())
		}
	}
	for i := range got {
		if s := &got[i]; s.Metadata != nil {
			s.Metadata["k"] = "changed"
		}
		if s := &got[i]; s.Extensions != nil {
			s.Extensions["e"] = "changed"
		}
		got[i].Tags = append(got[i].Tags, "appended")
		got[i].Tags[0] = "changed"
	}
	if want := originals(); !reflect.DeepEqual(from, want) {
		t.Errorf("changes of copies reached the originals: %+v", from)
	}
	if len(got[3].Tags) != 2 || got[3].Tags[1] != "appended" || got[2].Tags[1] != "y" || len(got[2].Tags) != 3 {
		t.Errorf("changes of one copy reached another: %+v", got)
	}
	if all := spare[:cap(spare)]; all[0] != "x" || all[2] != "" {
		t.Errorf("a change of a copy reached spare capacity: %q", all)
	}
}
