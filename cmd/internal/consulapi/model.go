package consulapi

import "encoding/json"

// The JSON of answers. The names of fields are Consul's, also as selectors in filters.

type nodeJSON struct {
	ID              string
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	Meta            map[string]string
	CreateIndex     uint64
	ModifyIndex     uint64
}

type taggedAddress struct {
	Address string
	Port    int
}

type weightsJSON struct {
	Passing int
	Warning int
}

type locality struct {
	Region string
	Zone   string
}

// serviceJSON is Service in answers of health/.
type serviceJSON struct {
	Kind              string `json:",omitempty"`
	ID                string
	Service           string
	Tags              []string
	Address           string
	TaggedAddresses   map[string]taggedAddress `json:",omitempty"`
	Meta              map[string]string
	Port              int
	Weights           weightsJSON
	EnableTagOverride bool
	Locality          *locality       `json:",omitempty"`
	Proxy             json.RawMessage `json:",omitempty"`
	CreateIndex       uint64
	ModifyIndex       uint64
}

// agentServiceJSON is a service in answers of agent/.
type agentServiceJSON struct {
	Kind              string `json:",omitempty"`
	ID                string
	Service           string
	Tags              []string
	Meta              map[string]string
	Port              int
	Address           string
	TaggedAddresses   map[string]taggedAddress `json:",omitempty"`
	Weights           weightsJSON
	EnableTagOverride bool
	Locality          *locality       `json:",omitempty"`
	Proxy             json.RawMessage `json:",omitempty"`
	Datacenter        string
	ContentHash       string `json:",omitempty"`
}

type checkJSON struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string
	Interval    string `json:",omitempty"`
	Timeout     string `json:",omitempty"`
	Definition  checkDefinitionJSON
	CreateIndex uint64
	ModifyIndex uint64
}

type checkDefinitionJSON struct {
	Interval                       string              `json:",omitempty"`
	Timeout                        string              `json:",omitempty"`
	DeregisterCriticalServiceAfter string              `json:",omitempty"`
	HTTP                           string              `json:",omitempty"`
	Header                         map[string][]string `json:",omitempty"`
	Method                         string              `json:",omitempty"`
	Body                           string              `json:",omitempty"`
	TCP                            string              `json:",omitempty"`
	GRPC                           string              `json:",omitempty"`
	GRPCUseTLS                     bool                `json:",omitempty"`
	TLSServerName                  string              `json:",omitempty"`
	TLSSkipVerify                  bool                `json:",omitempty"`
	TTL                            string              `json:",omitempty"`
}

// healthEntry is one instance in health/service.
type healthEntry struct {
	Node    nodeJSON
	Service serviceJSON
	Checks  []checkJSON
}

// catalogServiceJSON is one instance in catalog/service.
type catalogServiceJSON struct {
	ID                       string
	Node                     string
	Address                  string
	Datacenter               string
	TaggedAddresses          map[string]string
	NodeMeta                 map[string]string
	ServiceID                string
	ServiceName              string
	ServiceTags              []string
	ServiceAddress           string
	ServiceTaggedAddresses   map[string]taggedAddress `json:",omitempty"`
	ServiceWeights           weightsJSON
	ServiceMeta              map[string]string
	ServicePort              int
	ServiceEnableTagOverride bool
	ServiceLocality          *locality       `json:",omitempty"`
	ServiceProxy             json.RawMessage `json:",omitempty"`
	CreateIndex              uint64
	ModifyIndex              uint64
}
