package consulapi

import (
	"hash/maphash"
	"iter"
	"maps"
)

// tableParts is how many maps a table consists of. A change copies one of them, and a
// pointer to each.
const tableParts = 256

// table is a map by name. It is not changed once it is made, and to make a changed copy
// costs little though it has many names. nil is an empty table.
type table[V any] struct {
	parts [tableParts]map[string]V
}

var tableSeed = maphash.MakeSeed()

func tablePart(name string) int { return int(maphash.String(tableSeed, name) % tableParts) }

// get returns the value of a name, or the zero value if there is none.
func (t *table[V]) get(name string) V {
	if t == nil {
		var none V
		return none
	}
	return t.parts[tablePart(name)][name]
}

// all yields the names and their values in no order.
func (t *table[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		if t == nil {
			return
		}
		for _, part := range t.parts {
			for name, value := range part {
				if !yield(name, value) {
					return
				}
			}
		}
	}
}

// changed returns a table with other values of some names and without others.
func (t *table[V]) changed(set map[string]V, remove ...string) *table[V] {
	next := new(table[V])
	if t != nil {
		*next = *t
	}
	var copied [tableParts]bool
	part := func(name string) map[string]V {
		p := tablePart(name)
		if !copied[p] {
			copied[p] = true
			if next.parts[p] = maps.Clone(next.parts[p]); next.parts[p] == nil {
				next.parts[p] = make(map[string]V)
			}
		}
		return next.parts[p]
	}
	for name, value := range set {
		part(name)[name] = value
	}
	for _, name := range remove {
		delete(part(name), name)
	}
	return next
}
