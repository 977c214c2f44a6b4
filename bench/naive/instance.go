package naive

import (
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/rollcall-sd/rollcall/registry"
)

// PayloadBytes is the size of an Instance as this package stores it.
const PayloadBytes = 290

// Instance makes an instance of a service, with an ID of its own, whose JSON
// has PayloadBytes bytes.
func Instance(service string) registry.ServiceInfo {
	s := registry.ServiceInfo{
		ID: uuid.NewString(), Name: service, Version: "1.4.2", Address: "10.20.30.40", Port: 8080,
		HealthEndpoint: "/health/ready", Metadata: map[string]string{registry.MetadataZone: "eu-west-1a", "commit": ""},
	}
	s.Metadata["commit"] = strings.Repeat("c", max(PayloadBytes-len(encoded(s)), 0))
	return s
}

func encoded(s registry.ServiceInfo) []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return data
}
