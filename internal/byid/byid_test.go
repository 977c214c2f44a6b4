package byid

import "testing"

func TestFind(t *testing.T) {
	type element struct{ id, list string }
	idOf := func(e *element) string { return e.id }
	first := []element{{"a", "first"}, {"b", "first"}}
	second := []element{{"b", "second"}, {"c", "second"}}
	for id, want := range map[string]*element{"a": &first[0], "b": &first[1], "c": &second[1], "d": nil, "": nil} {
		if got := Find(id, idOf, first, second); got != want {
			t.Errorf("Find(%q) = %v, want %v", id, got, want)
		}
	}
	if got := Find("a", idOf); got != nil {
		t.Errorf("Find in no list = %v", got)
	}
}
