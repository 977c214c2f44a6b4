package grpcresolver

import (
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

const roundRobin = `[{"round_robin":{}}]`

// parseConfig makes the service config of a client from the one that was asked
// for, which may be "": its policy becomes the child of this package's.
func parseConfig(cc resolver.ClientConn, text string) (*serviceconfig.ParseResult, error) {
	const newer, older = "loadBalancingConfig", "loadBalancingPolicy"
	members := make(map[string]json.RawMessage)
	if text != "" {
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			return nil, fmt.Errorf("rollcall: service config: %w", err)
		}
	}
	var name string
	if members[newer] == nil && members[older] != nil {
		if err := json.Unmarshal(members[older], &name); err != nil {
			return nil, fmt.Errorf("rollcall: service config: %s: %w", older, err)
		}
	}
	// gRPC's own words for what is wrong with the config, before it is wrapped.
	if _, err := parse(cc, members); err != nil {
		return nil, fmt.Errorf("%w; a policy that is not built in must be imported", err)
	}
	child := members[newer]
	if child == nil {
		child = json.RawMessage(roundRobin)
	}
	if name != "" {
		child, _ = json.Marshal([]map[string]struct{}{{name: {}}}) // a text always has a JSON form
	}
	delete(members, older)
	wrapped, err := json.Marshal([]map[string]map[string]json.RawMessage{{policyName: {"childPolicy": child}}})
	if err != nil {
		return nil, fmt.Errorf("rollcall: service config: %w", err)
	}
	members[newer] = wrapped
	return parse(cc, members)
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
