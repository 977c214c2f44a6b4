package grpcresolver

import (
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

const (
	roundRobin = `[{"round_robin":{}}]`
	pickFirst  = `[{"pick_first":{}}]`
)

// configs are the service configs of a client: the one that was asked for, and
// the one while there is nobody to call. Both are nil where the client takes none.
type configs struct {
	some, none *serviceconfig.ParseResult
}

// parseConfigs makes both from a service config, which may be "". The second
// differs in the policy only: without addresses, pick_first passes on why there
// are none, while the others have a text of their own that says nothing.
func parseConfigs(cc resolver.ClientConn, text string) (c configs, err error) {
	const newer, older = "loadBalancingConfig", "loadBalancingPolicy"
	members := make(map[string]json.RawMessage)
	if text != "" {
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			return c, fmt.Errorf("rollcall: service config: %w", err)
		}
	}
	if members[newer] == nil && members[older] == nil {
		members[newer] = json.RawMessage(roundRobin)
	}
	if c.some, err = parse(cc, members); err != nil {
		return c, fmt.Errorf("%w; a policy that is not built in must be imported", err)
	}
	delete(members, older)
	members[newer] = json.RawMessage(pickFirst)
	c.none, err = parse(cc, members)
	return c, err
}

func parse(cc resolver.ClientConn, members map[string]json.RawMessage) (*serviceconfig.ParseResult, error) {
	text, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("rollcall: service config: %w", err)
	}
	result := cc.ParseServiceConfig(string(text))
	if result.Err != nil {
		return nil, fmt.Errorf("rollcall: service config: %w", result.Err)
	}
	return result, nil
}
