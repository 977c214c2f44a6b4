package grpcresolver

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const roundRobin = `[{"round_robin":{}}]`

// newConfig makes the service config of clients from the one that was asked for,
// which may be "": its policy becomes the child of this package's. Its error is
// that of a config that gRPC refuses.
func newConfig(text string) (string, error) {
	if text == "" {
		text = "{}"
	}
	if err := checkConfig(text); err != nil {
		return "", err
	}
	wrapped, err := wrapConfig([]byte(text))
	if err != nil {
		return "", err
	}
	return wrapped, checkConfig(wrapped)
}

// checkConfig returns gRPC's error for a service config, if it refuses it.
func checkConfig(text string) error {
	conn, err := grpc.NewClient("passthrough:///", grpc.WithDefaultServiceConfig(text), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "grpc: the provided default service config is invalid: ")
		text = strings.TrimPrefix(text, fmt.Sprintf("error parsing config for policy %q: ", policyName))
		if strings.Contains(text, "no supported policies") {
			text += "; a policy that is not built in must be imported"
		}
		return errors.New(text)
	}
	return conn.Close() // it has not connected
}

// wrapConfig replaces the policy of a config. Like gRPC, it ignores the case of
// names and the older way to name a policy where there is the newer one.
func wrapConfig(text []byte) (string, error) {
	const newer, older = "loadBalancingConfig", "loadBalancingPolicy"
	var members map[string]json.RawMessage
	var named struct {
		Child  *json.RawMessage `json:"loadBalancingConfig"`
		Policy string           `json:"loadBalancingPolicy"`
	}
	if err := errors.Join(json.Unmarshal(text, &members), json.Unmarshal(text, &named)); err != nil {
		return "", err
	}
	if members == nil {
		return "", errors.New("it is null; write {} for an empty config")
	}
	child := json.RawMessage(roundRobin)
	switch {
	case named.Child != nil:
		child = *named.Child
	case named.Policy != "":
		child, _ = json.Marshal([]map[string]struct{}{{named.Policy: {}}}) // a text always has a JSON form
	}
	maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool {
		return strings.EqualFold(name, newer) || strings.EqualFold(name, older)
	})
	wrapped, err := json.Marshal([]map[string]map[string]json.RawMessage{{policyName: {"childPolicy": child}}})
	if err != nil {
		return "", err
	}
	members[newer] = wrapped
	config, err := json.Marshal(members)
	return string(config), err
}

// refuse returns an option with which grpc.NewClient fails. An option cannot return
// an error itself, but parsing a policy's config can: see instancesPolicyBuilder.ParseConfig.
func refuse(err error) grpc.DialOption {
	text, _ := json.Marshal(map[string]any{"loadBalancingConfig": []any{map[string]any{policyName: refusal{err.Error()}}}}) // a text always has a JSON form
	return grpc.WithDefaultServiceConfig(string(text))
}

// refusal is the config of this package's policy that fails to parse.
type refusal struct {
	Refused string `json:"refused"`
}
