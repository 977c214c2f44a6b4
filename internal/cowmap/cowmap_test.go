package cowmap

import (
	"maps"
	"testing"
)

func TestChangesReplaceTheMap(t *testing.T) {
	var m Map[string, int]
	if m.Get("a") != 0 || len(m.All()) != 0 || len(m.Clear()) != 0 {
		t.Error("the zero Map is not empty")
	}
	m.Delete("a")
	m.Set("a", 1)
	before := m.All()
	m.Set("b", 2)
	m.Set("a", 3)
	m.Delete("b")
	if want := map[string]int{"a": 1}; !maps.Equal(before, want) {
		t.Errorf("changes modified a map that a reader holds: %v, want %v", before, want)
	}
	if want := map[string]int{"a": 3}; !maps.Equal(m.All(), want) || m.Get("a") != 3 || m.Get("b") != 0 {
		t.Errorf("the map holds %v, want %v", m.All(), want)
	}
	if old := m.Clear(); old["a"] != 3 || len(m.All()) != 0 {
		t.Errorf("Clear returned %v and left %v", old, m.All())
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	var m Map[string, int]
	m.Set("a", 1)
	if n := testing.AllocsPerRun(100, func() { _ = m.Get("a") }); n != 0 {
		t.Errorf("Get allocates %v times", n)
	}
}
