package consulapi

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// bareHub is a hub without a backend, which shows what the test says.
func bareHub() *hub {
	a := &API{config: Config{Datacenter: "dc1"}}
	a.hub = newHub(a)
	a.hub.catalogStarted, a.hub.catalogAsOf = true, time.Now()
	return a.hub
}

// put replaces the entries of a service.
func (h *hub) put(name string, entries []*entry) {
	w := h.services[name]
	if w == nil {
		w = &watched{cell: newCell[*serviceView](), cancel: func() {}}
		h.services[name] = w
	}
	old, _, _ := w.cell.get()
	h.show(w, old, &serviceView{name: name, entries: entries}, h.api.clock.next())
}

// entryOn makes an entry of a service on a node.
func entryOn(service, node, address, id string, registered int, tags ...string) *entry {
	e := &entry{info: registry.ServiceInfo{ID: id + "@" + node, Name: service, Tags: tags, RegisteredAt: time.Unix(int64(registered), 0)}}
	e.record = record{Node: nodeIdentity{Name: node, Address: address}, ID: id}
	return e
}

// reference is the state of all services, made from all of them.
type reference struct {
	services map[string][]*entry
	tags     map[string][]string
	nodes    map[string]nodeIdentity
	says     map[string]nodeIdentity // of the nodes that speak for themselves
}

func referenceOf(h *hub) *reference {
	r := &reference{make(map[string][]*entry), make(map[string][]string), make(map[string]nodeIdentity), make(map[string]nodeIdentity)}
	best := make(map[string]*entry)
	for name, w := range h.services {
		view, _, _ := w.cell.get()
		if len(view.entries) == 0 {
			continue
		}
		r.services[name], r.tags[name] = view.entries, tagUnion(view.entries)
		for _, e := range view.entries {
			if old := best[e.record.Node.Name]; old == nil || preferred(e, old) {
				best[e.record.Node.Name] = e
				r.nodes[e.record.Node.Name] = e.record.Node
			}
		}
	}
	for _, e := range slices.Backward(r.services[bareNodeService]) { // the oldest counts
		r.says[e.record.Node.Name] = e.record.Node
	}
	for _, e := range r.services[nodeService] { // the newest counts
		r.says[e.record.Node.Name] = e.record.Node
	}
	return r
}

// What is kept up change by change is what all instances together say, and queries wake
// for what their answers show, and for nothing else.
func TestCatalogFollowsEachChange(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	h := bareHub()
	names := []string{nodeService, bareNodeService, "a", "b", "c", "d"}
	registered := 0
	for _, name := range names {
		h.put(name, nil)
	}
	if !h.complete {
		t.Fatal("all services are known, and the catalog is not")
	}
	for step := range 2000 {
		before := referenceOf(h)
		_, wasAll, _ := h.all.get()
		_, wasNames, _ := h.names.get()
		_, wasNodes, _ := h.nodes.get()
		name := names[random.IntN(len(names))]
		entries := slices.Clone(before.services[name])
		entries = slices.DeleteFunc(entries, func(*entry) bool { return random.IntN(6) == 0 })
		for range random.IntN(3) {
			registered++
			id := fmt.Sprint("i", registered)
			if name == nodeService || name == bareNodeService {
				id = name
			}
			entries = append(entries, entryOn(name, fmt.Sprint("n", random.IntN(6)), fmt.Sprint("10.0.0.", random.IntN(2)), id, registered, fmt.Sprint("t", random.IntN(3))))
		}
		if len(entries) > 0 && random.IntN(2) == 0 { // a new status
			n := random.IntN(len(entries))
			changed := *entries[n]
			entries[n] = &changed
		}
		h.put(name, entries)

		after := referenceOf(h)
		view, all, _ := h.all.get()
		_, indexOfNames, _ := h.names.get()
		_, indexOfNodes, _ := h.nodes.get()
		if got := maps.Collect(view.services.all()); !maps.EqualFunc(got, after.services, slices.Equal) {
			t.Fatalf("step %d: services %v, want %v", step, got, after.services)
		}
		for _, woken := range []struct {
			what       string
			woke, want bool
		}{
			{"everything", all != wasAll, !maps.EqualFunc(before.services, after.services, slices.Equal)},
			{"names and tags", indexOfNames != wasNames, !reflect.DeepEqual(before.tags, after.tags)},
			{"nodes", indexOfNodes != wasNodes, !reflect.DeepEqual(before.nodes, after.nodes)},
		} {
			if woken.woke != woken.want {
				t.Fatalf("step %d: queries about %s woke: %t, want %t", step, woken.what, woken.woke, woken.want)
			}
		}
		nodes := make(map[string]nodeIdentity)
		for name, list := range view.byNode().byName {
			nodes[name] = list.best.record.Node
		}
		says := make(map[string]nodeIdentity)
		for name, state := range h.byNode.all() {
			says[name] = state.identity
		}
		if !reflect.DeepEqual(nodes, after.nodes) || !reflect.DeepEqual(says, after.says) {
			t.Fatalf("step %d: nodes %v, want %v; they say %v, want %v", step, nodes, after.nodes, says, after.says)
		}
		if len(h.places) != len(nodes) {
			t.Fatalf("step %d: %d places for %d nodes", step, len(h.places), len(nodes))
		}
	}
}

// One service that is stale makes the catalog stale, as of the oldest, and the last one that
// recovers ends it.
func TestCatalogIsStaleWithAnyService(t *testing.T) {
	h := bareHub()
	for _, name := range []string{"a", "b"} {
		h.put(name, []*entry{entryOn(name, "n", "10.0.0.1", name, 1)})
	}
	now := time.Now()
	older := now.Add(-time.Minute)
	for _, step := range []struct {
		name  string
		stale error
		asOf  time.Time
		want  time.Time // as of when the catalog is stale, zero if it is not
	}{
		{"a", registry.ErrUnavailable, now, now},
		{"b", registry.ErrUnavailable, older, older},
		{"a", registry.ErrUnavailable, now.Add(-time.Second), older},
		{"b", nil, now, now.Add(-time.Second)},
		{"a", nil, now, time.Time{}},
	} {
		w := h.services[step.name]
		old, _, _ := w.cell.get()
		_, before, _ := h.all.get()
		h.show(w, old, &serviceView{name: step.name, entries: old.entries, stale: step.stale, asOf: step.asOf}, 0)
		view, index, _ := h.all.get()
		if (view.stale != nil) != !step.want.IsZero() || view.stale != nil && !view.asOf.Equal(step.want) || index != before {
			t.Errorf("%s is stale with %v: the catalog with %v as of %s, index %d after %d", step.name, step.stale, view.stale, view.asOf, index, before)
		}
	}
}

// BenchmarkChangeAmongServices is what it costs to show a change of one instance, of
// 10,000 in 1,000 services.
func BenchmarkChangeAmongServices(b *testing.B) {
	h := bareHub()
	for s := range 1000 {
		name := fmt.Sprint("service-", s)
		entries := make([]*entry, 10)
		for i := range entries {
			entries[i] = entryOn(name, fmt.Sprint("node-", (s*10+i)%100), "10.0.0.1", fmt.Sprint(s, "-", i), s*10+i, "a", "b")
		}
		h.put(name, entries)
	}
	if !h.complete {
		b.Fatal("the catalog is not known")
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		old, _, _ := h.services["service-7"].cell.get()
		entries := slices.Clone(old.entries)
		changed := *entries[n%10]
		entries[n%10] = &changed
		h.put("service-7", entries)
	}
}
