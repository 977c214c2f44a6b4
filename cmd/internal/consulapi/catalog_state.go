package consulapi

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// catalogView is the state of all services. It is not changed once it is made.
type catalogView struct {
	services *table[[]*entry]
	stale    error
	asOf     time.Time
	byNode   func() *nodeLists // made when it is first asked for

	once  sync.Once // makes shown
	shown *CatalogState
}

// nodeLists are the instances of a catalogView by their nodes.
type nodeLists struct {
	names  []string // sorted
	byName map[string]*nodeList
}

// nodeList are the instances on a node.
type nodeList struct {
	best    *entry   // says best what the node is
	entries []*entry // by ID
}

func newCatalogView(services *table[[]*entry], stale error, asOf time.Time) *catalogView {
	return &catalogView{services: services, stale: stale, asOf: asOf, byNode: sync.OnceValue(func() *nodeLists { return listsOf(services) })}
}

func listsOf(services *table[[]*entry]) *nodeLists {
	l := &nodeLists{byName: make(map[string]*nodeList)}
	for _, entries := range services.all() {
		for _, e := range entries {
			n := l.byName[e.record.Node.Name]
			if n == nil {
				n = &nodeList{best: e}
				l.byName[e.record.Node.Name] = n
			}
			n.entries = append(n.entries, e)
			if preferred(e, n.best) {
				n.best = e
			}
		}
	}
	for _, n := range l.byName {
		slices.SortFunc(n.entries, func(a, b *entry) int { return cmp.Compare(a.record.ID, b.record.ID) })
	}
	l.names = slices.Sorted(maps.Keys(l.byName))
	return l
}

// preferred reports whether a says better than b what their node is: a daemon itself,
// else the oldest.
func preferred(a, b *entry) bool {
	if own := a.info.Name == nodeService; own != (b.info.Name == nodeService) {
		return own
	}
	return a.info.RegisteredAt.Before(b.info.RegisteredAt)
}

// catalogs are the states of all services. A change of one service costs as much as that
// service is large, however many there are. hub.mu guards the fields.
type catalogs struct {
	// names wakes with the set of names and their tags, nodes with the nodes, all with
	// everything.
	names, nodes, all *cell[*catalogView]
	catalogStarted    bool
	listed            []string // the names in the catalog
	complete          bool     // each of them had a first state
	catalogStale      error
	catalogAsOf       time.Time               // zero until the names are known
	staleServices     map[string]*serviceView // by name, those that are stale
	places            map[string]*place       // by the name of a node
}

// place is what decides on the state of a node.
type place struct {
	entries int // on the node
	best    *entry
}

func newCatalogs() catalogs {
	return catalogs{names: newCell[*catalogView](), nodes: newCell[*catalogView](), all: newCell[*catalogView](),
		staleServices: make(map[string]*serviceView), places: make(map[string]*place)}
}

// catalogChange is what a change of the catalog wakes.
type catalogChange struct{ all, names, nodes bool }

// publishNames shows a change of the names in the states of all services. h.mu is held.
func (h *hub) publishNames() {
	if !h.complete {
		h.publishFirst()
		return
	}
	old, _, _ := h.all.get()
	h.publishView(old.services, catalogChange{})
}

// publishFirst makes the first states of all services, once all that are listed are
// known. h.mu is held.
func (h *hub) publishFirst() {
	for _, name := range h.listed {
		if w := h.services[name]; w == nil || !w.cell.known() {
			return
		}
	}
	h.complete = true
	services := make(map[string][]*entry, len(h.listed))
	var all []*entry
	// A service that has an instance is in the catalog, though the names may not say so yet.
	for name, w := range h.services {
		view, index, _ := w.cell.get()
		if index == 0 {
			continue
		}
		h.noteStale(name, view)
		if len(view.entries) > 0 {
			services[name] = view.entries
			all = append(all, view.entries...)
		}
	}
	var none *table[[]*entry]
	table := none.changed(services)
	h.movePlaces(table, nil, all)
	h.publishView(table, catalogChange{true, true, true})
}

// publishService shows a change of a service in the states of all services. nil is a
// service of which nothing is known. h.mu is held.
func (h *hub) publishService(name string, before, after *serviceView) {
	switch {
	case !h.catalogStarted || h.catalogAsOf.IsZero():
		return
	case !h.complete:
		h.publishFirst()
		return
	}
	h.noteStale(name, after)
	old, _, _ := h.all.get()
	services, change := old.services, catalogChange{}
	if was, is := before.list(), after.list(); !slices.Equal(was, is) {
		if len(is) > 0 {
			services = services.changed(map[string][]*entry{name: is})
		} else {
			services = services.changed(nil, name)
		}
		gone, come := differences(was, is)
		change.all = true
		change.names = (len(was) == 0) != (len(is) == 0) || !sameTags(was, is)
		change.nodes = h.movePlaces(services, gone, come)
	}
	h.publishView(services, change)
}

func (h *hub) noteStale(name string, view *serviceView) {
	if view != nil && view.stale != nil {
		h.staleServices[name] = view
	} else {
		delete(h.staleServices, name)
	}
}

// publishView sets the states of all services. h.mu is held.
func (h *hub) publishView(services *table[[]*entry], change catalogChange) {
	stale, asOf := h.catalogStale, h.catalogAsOf
	for _, v := range h.staleServices { // it is as old as the oldest of them
		if stale == nil || v.asOf.Before(asOf) {
			stale, asOf = v.stale, v.asOf
		}
	}
	view := newCatalogView(services, stale, asOf)
	old, next, _ := h.all.get()
	if old != nil && old.services == services {
		if old.stale == nil && stale == nil {
			return // readers go on with the same state
		}
		view.byNode = old.byNode
	}
	if change.all {
		next = h.api.clock.next()
	}
	for _, c := range []struct {
		cell  *cell[*catalogView]
		wakes bool
	}{{h.all, change.all}, {h.names, change.names}, {h.nodes, change.nodes}} {
		_, index, _ := c.cell.get()
		if c.wakes {
			index = next
		}
		c.cell.set(view, index)
	}
}

// movePlaces takes into account that instances went and came. It reports whether a node
// is another one than before. services are those afterwards. h.mu is held.
func (h *hub) movePlaces(services *table[[]*entry], gone, come []*entry) (changed bool) {
	was := make(map[string]*entry) // what said best, before, what a node is; nil for a new node
	at := func(e *entry) *place {
		name := e.record.Node.Name
		p := h.places[name]
		if p == nil {
			p = new(place)
			h.places[name] = p
		}
		if _, noted := was[name]; !noted {
			was[name] = p.best
		}
		return p
	}
	for _, e := range gone {
		p := at(e)
		p.entries--
		if p.best == e {
			p.best = nil
		}
	}
	for _, e := range come {
		p := at(e)
		p.entries++
		best := p.best
		if best == nil {
			best = was[e.record.Node.Name]
		}
		// In the place of the best, one that is as good is the best.
		if best == nil || preferred(e, best) || p.best == nil && !preferred(best, e) {
			p.best = e
		}
	}
	h.findBest(services, was)
	for name, old := range was {
		p := h.places[name]
		if p.entries == 0 {
			delete(h.places, name)
			changed = changed || old != nil
			continue
		}
		changed = changed || old == nil || !sameIdentity(old.record.Node, p.best.record.Node)
	}
	return changed
}

// findBest finds the best of those nodes whose best went. That takes looking at all
// instances, and is rare: the best is a daemon itself, or the oldest.
func (h *hub) findBest(services *table[[]*entry], nodes map[string]*entry) {
	without := make(map[string]*place)
	for name := range nodes {
		if p := h.places[name]; p.best == nil && p.entries > 0 {
			without[name] = p
		}
	}
	if len(without) == 0 {
		return
	}
	for _, entries := range services.all() {
		for _, e := range entries {
			if p := without[e.record.Node.Name]; p != nil && (p.best == nil || preferred(e, p.best)) {
				p.best = e
			}
		}
	}
}

// differences returns the entries that are in one of two lists only.
func differences(before, after []*entry) (gone, come []*entry) {
	for len(before) > 0 && len(after) > 0 && before[0] == after[0] {
		before, after = before[1:], after[1:]
	}
	for len(before) > 0 && len(after) > 0 && before[len(before)-1] == after[len(after)-1] {
		before, after = before[:len(before)-1], after[:len(after)-1]
	}
	only := func(list, other []*entry) (out []*entry) {
		in := make(map[*entry]bool, len(other))
		for _, e := range other {
			in[e] = true
		}
		for _, e := range list {
			if !in[e] {
				out = append(out, e)
			}
		}
		return out
	}
	return only(before, after), only(after, before)
}

func sameTags(a, b []*entry) bool {
	if slices.EqualFunc(a, b, func(x, y *entry) bool { return x == y || slices.Equal(x.info.Tags, y.info.Tags) }) {
		return true
	}
	return slices.Equal(tagUnion(a), tagUnion(b))
}

// tagUnion returns the tags of a service's instances, sorted.
func tagUnion(entries []*entry) []string {
	tags := []string{}
	seen := make(map[string]bool)
	for _, e := range entries {
		for _, tag := range e.info.Tags {
			if !seen[tag] {
				seen[tag] = true
				tags = append(tags, tag)
			}
		}
	}
	slices.Sort(tags)
	return tags
}

func sameIdentity(a, b nodeIdentity) bool {
	return a.Name == b.Name && a.ID == b.ID && a.Address == b.Address && maps.Equal(a.Meta, b.Meta)
}
