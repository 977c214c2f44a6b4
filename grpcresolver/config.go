package grpcresolver

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// checkConfig returns gRPC's error for a service config, if it refuses it.
func checkConfig(text string) error {
	if text == "" {
		return nil
	}
	conn, err := grpc.NewClient("passthrough:///", grpc.WithDefaultServiceConfig(text), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "grpc: the provided default service config is invalid: ")
		if strings.Contains(text, "no supported policies") {
			text += "; a policy that is not built in must be imported"
		}
		return fmt.Errorf("rollcall: WithServiceConfig: %s", text)
	}
	return conn.Close() // it has not connected
}

// refuse returns an option with which grpc.NewClient fails. An option cannot return
// an error itself, but parsing a policy's config can: see policyBuilder.ParseConfig.
func refuse(err error) grpc.DialOption {
	text, _ := json.Marshal(map[string]any{"loadBalancingConfig": []any{map[string]any{policyName: refusal{err.Error()}}}}) // a text always has a JSON form
	return grpc.WithDefaultServiceConfig(string(text))
}

// refusal is the config of this package's policy that fails to parse.
type refusal struct {
	Refused string `json:"refused"`
}

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
