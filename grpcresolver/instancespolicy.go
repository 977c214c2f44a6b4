package grpcresolver

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// policyName is the policy that stands between the resolver and the policy of
// the client's service config, which is its child. It does what neither a
// resolver nor a child can do:
//
//   - Without an instance, calls fail with the reason, from the first one on.
//   - An instance that registered again at an address to which connections fail
//     gets a new one at once, without the rest of the old one's backoff. One that
//     registers again while its connection works keeps that.
//   - Instances are called directly also where HTTPS_PROXY is set, whose part
//     gRPC puts between a resolver and the policy.
//   - A child receives only what it can use.
//
// Clients that take no service config of a resolver do without it.
const policyName = "rollcall_instances"

func init() { balancer.Register(instancesPolicyBuilder{}) }

type instancesPolicyBuilder struct{}

func (instancesPolicyBuilder) Name() string { return policyName }

func (instancesPolicyBuilder) Build(cc balancer.ClientConn, options balancer.BuildOptions) balancer.Balancer {
	return &instancesPolicy{ClientConn: cc, options: options, addresses: make(map[string]*addressState)}
}

// policyConfig is the policy's part of a service config.
type policyConfig struct {
	serviceconfig.LoadBalancingConfig
	child  balancer.Builder
	config serviceconfig.LoadBalancingConfig // of the child; nil for none
}

// ParseConfig reads {"childPolicy": [{name: config}, …]}, of which the first that
// is known counts. It returns a refusal as an error.
func (instancesPolicyBuilder) ParseConfig(text json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	var in struct {
		ChildPolicy []map[string]json.RawMessage `json:"childPolicy"`
		refusal
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, err
	}
	if in.Refused != "" {
		return nil, errors.New(in.Refused)
	}
	for _, candidate := range in.ChildPolicy {
		for name, config := range candidate {
			child := balancer.Get(name)
			if child == nil {
				continue
			}
			c := &policyConfig{child: child}
			parser, ok := child.(balancer.ConfigParser)
			if !ok {
				return c, nil
			}
			var err error
			c.config, err = parser.ParseConfig(config)
			return c, err
		}
	}
	return nil, fmt.Errorf("no supported policies found in %s", text)
}

// listing is what the resolver hands to the policy.
type listing struct {
	endpoints []endpoint
	reason    error // why there are none
}

type listingKey struct{}

// addressState is what the policy knows of an address.
type addressState struct {
	registered int64 // of the instance there
	// The newest connection to it: gRPC does not report the end of earlier ones.
	conn balancer.SubConn
	// failing: it could not be made, and does not stand since.
	failing bool
}

// instancesPolicy implements balancer.Balancer, and balancer.ClientConn for its child.
// gRPC makes the calls of a Balancer one after the other.
type instancesPolicy struct {
	balancer.ClientConn
	options balancer.BuildOptions

	child balancer.Balancer // nil while there is no instance
	// Of the child's last update:
	config *policyConfig
	shown  []endpoint

	mu        sync.Mutex
	addresses map[string]*addressState
}

// UpdateClientConnState takes a listing from the resolver.
func (p *instancesPolicy) UpdateClientConnState(state balancer.ClientConnState) error {
	config, ok := state.BalancerConfig.(*policyConfig)
	if !ok {
		return fmt.Errorf("%w: %s has no config", balancer.ErrBadResolverState, policyName)
	}
	list, ok := state.ResolverState.Attributes.Value(listingKey{}).(*listing)
	if !ok {
		return fmt.Errorf("%w: %s works with this package's resolver only", balancer.ErrBadResolverState, policyName)
	}
	if len(list.endpoints) == 0 {
		p.closeChild()
		p.fail(list.reason)
		return nil
	}
	failing := p.note(list.endpoints)
	if p.child != nil && p.config == config && len(failing) == 0 && slices.EqualFunc(p.shown, list.endpoints, sameForPolicies) {
		return nil
	}
	p.config, p.shown = config, list.endpoints
	if len(state.ResolverState.Endpoints) > 0 { // with a proxy in between, gRPC's own list counts
		return p.update(state.ResolverState)
	}
	if len(failing) > 0 && p.child != nil {
		// An endpoint that leaves and comes back gets a new connection.
		rest := slices.DeleteFunc(slices.Clone(list.endpoints), func(e endpoint) bool { return failing[e.addr] })
		if len(rest) == 0 {
			p.closeChild()
		} else {
			_ = p.update(stateOf(rest)) // the next update counts
		}
	}
	return p.update(stateOf(list.endpoints))
}

// update hands a list to the child, which it builds if there is none.
func (p *instancesPolicy) update(state resolver.State) error {
	if p.child == nil {
		p.child = p.config.child.Build(p, p.options)
	}
	return p.child.UpdateClientConnState(balancer.ClientConnState{ResolverState: state, BalancerConfig: p.config.config})
}

// note remembers which instance is at each address. It returns the addresses to
// which connections fail and at which another instance registered since.
func (p *instancesPolicy) note(list []endpoint) (failing map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	failing = make(map[string]bool)
	listed := make(map[string]bool, len(list))
	for _, e := range list {
		listed[e.addr] = true
		a := p.addresses[e.addr]
		if a == nil {
			a = &addressState{registered: e.registered}
			p.addresses[e.addr] = a
		}
		if a.registered != e.registered && a.failing {
			failing[e.addr] = true
		}
		a.registered = e.registered
	}
	for addr := range p.addresses {
		if !listed[addr] {
			delete(p.addresses, addr)
		}
	}
	return failing
}

// NewSubConn watches the states of a child's connection.
func (p *instancesPolicy) NewSubConn(addresses []resolver.Address, options balancer.NewSubConnOptions) (balancer.SubConn, error) {
	if len(addresses) != 1 {
		//lint:ignore SA1019 what a child asks for is passed on
		return p.ClientConn.NewSubConn(addresses, options)
	}
	addr, listener := addresses[0].Addr, options.StateListener
	var conn balancer.SubConn
	options.StateListener = func(state balancer.SubConnState) {
		p.setState(addr, conn, state.ConnectivityState)
		if listener != nil {
			listener(state)
		}
	}
	var err error
	// gRPC calls the listener only once the connection was asked to connect.
	//lint:ignore SA1019 one address is what a future version will support
	if conn, err = p.ClientConn.NewSubConn(addresses, options); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.addresses[addr]; a != nil {
		a.conn, a.failing = conn, false
	}
	return conn, nil
}

func (p *instancesPolicy) setState(addr string, conn balancer.SubConn, state connectivity.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.addresses[addr]
	switch {
	case a == nil || a.conn != conn:
	case state == connectivity.Ready:
		a.failing = false
	case state == connectivity.TransientFailure:
		a.failing = true
	}
}

// ResolverError passes an error on to the child, which keeps its instances.
func (p *instancesPolicy) ResolverError(err error) {
	if p.child != nil {
		p.child.ResolverError(err)
		return
	}
	p.fail(err)
}

// fail makes calls fail with a reason; those that wait for an instance wait on.
func (p *instancesPolicy) fail(reason error) {
	p.UpdateState(balancer.State{ConnectivityState: connectivity.TransientFailure, Picker: failingPicker{reason}})
}

type failingPicker struct{ reason error }

func (f failingPicker) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{}, f.reason
}

// UpdateSubConnState is never called: every connection has a listener.
func (p *instancesPolicy) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}

// ExitIdle implements balancer.Balancer.
func (p *instancesPolicy) ExitIdle() {
	if p.child != nil {
		p.child.ExitIdle()
	}
}

// Close implements balancer.Balancer.
func (p *instancesPolicy) Close() { p.closeChild() }

func (p *instancesPolicy) closeChild() {
	if p.child != nil {
		p.child.Close()
		p.child = nil
	}
}
