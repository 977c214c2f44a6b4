package consulapi

import (
	"reflect"
	"slices"
)

// nodeServices are the services whose instances stand for nodes.
var nodeServices = []string{nodeService, bareNodeService}

// StandsForNodes reports whether the instances of a service stand for daemons and nodes.
func StandsForNodes(service string) bool { return slices.Contains(nodeServices, service) }

// nodeState is what a node's own instance says of it.
type nodeState struct {
	identity nodeIdentity
	checks   []checkJSON
}

// knownNodes are what nodes say of themselves. hub.mu guards the fields.
type knownNodes struct {
	// byDaemons are the states of nodes that run a daemon, bare those that
	// catalog/register wrote, by the names of the nodes.
	byDaemons, bare map[string]*nodeState
	byNode          *table[*nodeState] // of a node in both, that of its daemon
}

func newKnownNodes() knownNodes {
	return knownNodes{byDaemons: make(map[string]*nodeState), bare: make(map[string]*nodeState)}
}

// noteNodes notes what the instances of a service that stands for nodes say, of which
// some went and some came. It returns the nodes whose identity or checks are others than
// before. h.mu is held.
func (h *hub) noteNodes(view *serviceView, gone, come []*entry) (changed map[string]bool) {
	states := h.bare
	if view.name == nodeService {
		states = h.byDaemons
	}
	names := make(map[string]bool)
	for _, e := range slices.Concat(gone, come) {
		if e.isNode() {
			names[e.record.Node.Name] = true
			delete(states, e.record.Node.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	for _, e := range view.entries {
		name := e.record.Node.Name
		if e.isNode() && names[name] && (states[name] == nil || view.name == nodeService) {
			states[name] = &nodeState{e.record.Node, e.withIndexes(e.checks)}
		}
	}
	changed = make(map[string]bool)
	set, remove := make(map[string]*nodeState), []string(nil)
	for name := range names {
		next := h.byDaemons[name]
		if next == nil {
			next = h.bare[name]
		}
		if !h.byNode.get(name).says(next) {
			changed[name] = true
		}
		if next != nil {
			set[name] = next
		} else {
			remove = append(remove, name)
		}
	}
	h.byNode = h.byNode.changed(set, remove...)
	return changed
}

// says reports whether the services on a node have the same identity and checks of it
// with either state. nil is a node that says nothing.
func (n *nodeState) says(other *nodeState) bool {
	switch {
	case n == nil && other == nil:
		return true
	case n == nil:
		return len(other.checks) == 0 // the services carry the identity
	case other == nil:
		return len(n.checks) == 0
	}
	return reflect.DeepEqual(n.identity, other.identity) && reflect.DeepEqual(n.checks, other.checks)
}

// touchServices wakes the queries of services that are on these nodes, as their answers
// have the checks and the identity of the node. h.mu is held.
func (h *hub) touchServices(nodes map[string]bool) {
	for name, w := range h.services {
		view, index, _ := w.cell.get()
		if index == 0 || StandsForNodes(name) {
			continue
		}
		if slices.ContainsFunc(view.entries, func(e *entry) bool { return nodes[e.record.Node.Name] }) {
			w.cell.touch(&h.api.clock)
		}
	}
}

// nodeStates returns what is known of nodes, by name.
func (h *hub) nodeStates() *table[*nodeState] {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byNode
}
