package grpcresolver

import (
	"cmp"
	"slices"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/resolver"

	"github.com/rollcall-sd/rollcall/registry"
)

// endpoint is what gRPC receives about an instance.
type endpoint struct {
	addr   string
	zone   string
	weight int

	registered int64 // when, µs since the epoch: tells an instance from an earlier one at its address
}

// sameForPolicies reports whether policies can tell no difference.
func sameForPolicies(a, b endpoint) bool {
	return a.addr == b.addr && a.zone == b.zone && a.weight == b.weight
}

// endpointsOf lists instances, oldest first, as gRPC is to know them: one for
// each address, as policies want it, by address, so that lists compare.
func endpointsOf(instances []*registry.ServiceInfo) []endpoint {
	list := make([]endpoint, 0, len(instances))
	seen := make(map[string]bool, len(instances))
	for _, s := range slices.Backward(instances) {
		addr := s.HostPort()
		if seen[addr] {
			continue
		}
		seen[addr] = true
		list = append(list, endpoint{
			addr: addr, zone: s.Metadata[registry.MetadataZone], weight: max(s.Weight, 1), registered: s.RegisteredAt.UnixMicro(),
		})
	}
	slices.SortFunc(list, func(a, b endpoint) int { return cmp.Compare(a.addr, b.addr) })
	return list
}

type (
	zoneKey   struct{}
	weightKey struct{}
)

// Zone returns the zone of an endpoint that With resolved, "" when its instance
// has none. Take the Attributes of a resolver.Endpoint.
func Zone(endpoint *attributes.Attributes) string {
	zone, _ := endpoint.Value(zoneKey{}).(string)
	return zone
}

// Weight returns the weight of an endpoint that With resolved, at least 1.
// Take the Attributes of a resolver.Endpoint.
func Weight(endpoint *attributes.Attributes) int {
	weight, _ := endpoint.Value(weightKey{}).(int)
	return max(weight, 1)
}

// stateOf makes gRPC's form of a list. The attributes are the endpoint's, not
// the address's: a change of those would cost its connection.
func stateOf(list []endpoint) resolver.State {
	state := resolver.State{Endpoints: make([]resolver.Endpoint, len(list)), Addresses: make([]resolver.Address, len(list))}
	for i, e := range list {
		address := resolver.Address{Addr: e.addr}
		state.Addresses[i] = address
		state.Endpoints[i] = weight.Set(resolver.Endpoint{
			Addresses:  []resolver.Address{address},
			Attributes: attributes.New(weightKey{}, e.weight).WithValue(zoneKey{}, e.zone),
		}, weight.EndpointInfo{Weight: uint32(e.weight)})
	}
	return state
}
