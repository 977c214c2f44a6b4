// Package consulapi serves the part of Consul's HTTP API that is about services, on
// any registry.Backend.
//
//	api.go         configuration and life of an API
//	routes.go      which path and method leads where; errors, headers
//	query.go       the parameters of reads
//	cell.go        a state that blocking queries wait for, and its index
//	hub.go         watches services; the states that reads answer from
//	catalog_state.go  the states of all services
//	node_states.go what nodes say of themselves
//	table.go       a map that is cheap to copy with a change
//	catalog.go     reads of catalog/ and health/
//	view.go        the same states for other faces of the daemon
//	model.go       the JSON of answers
//	events.go      why an instance came, changed or went
//	definition.go  the JSON of registrations
//	record.go      how a registration stands in the backend
//	agent.go       the registrations that this daemon keeps alive
//	adopt.go       the node, and what an earlier daemon of it left
//	lost.go        registrations that another process took over
//	publish.go     makes the verdict of an instance's checks its status
//	check.go       checks, and what runs them
//	guard.go       where checks may connect to
//	agent_http.go  agent/ of the API
//	catalog_write.go  catalog/register and catalog/deregister
//
// # What a registration becomes
//
// A service that is registered through the API is an instance in the backend, owned
// by this daemon's registry. What Consul carries and ServiceInfo does not (node,
// tagged addresses, the definitions of checks) travels in Extensions under the key
// "consul". The states of the checks travel in the note of the instance's status, one
// after the other in a form that people can read. So all daemons on one backend give
// the same answers.
//
// Consul's IDs are unique on a node, the registry's everywhere. An instance keeps its
// ID if no other node has it, and is "ID@NODE" otherwise.
//
// An instance that a program registered without a daemon is on a node that is named
// like its address, and its status is its one check.
//
// # Indexes
//
// Revisions of the backend compare for equality only. An index is the time, in
// microseconds, at which this daemon saw a change, and greater than every index before
// it. So it does not fall when a daemon restarts.
package consulapi
