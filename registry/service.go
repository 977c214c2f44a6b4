package registry

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"time"
)

// ServiceInfo contains metadata about a registered service instance.
// The library copies it on the way in and out: changing a value, its maps and
// slices included, touches nobody else's. Texts are valid UTF-8 without control
// characters; anything else, like anything over a limit, is refused.
type ServiceInfo struct {
	// ID is a unique identifier for this service instance.
	// If empty during registration, one will be generated (a UUID).
	// At most MaxIDBytes bytes.
	ID string

	// Name is the service name (e.g., "api-service", "worker-service").
	// Multiple instances can share the same name. Required, at most MaxNameBytes bytes.
	Name string

	// Version is the service version (e.g., "1.0.0", "v2.3.1").
	// Optional, at most MaxVersionBytes bytes.
	Version string

	// Address is the IP address or hostname where the service is reachable.
	// Required, at most MaxAddressBytes bytes: an IP address, IPv6 without
	// brackets, or a host name. Refused is what no client can connect to: an
	// unspecified or multicast address, a link-local one of IPv6 without its zone, one
	// with a port, a URL.
	// It is not resolved or otherwise checked.
	Address string

	// Port is the primary port where the service listens, 1 to 65535.
	Port int

	// HealthEndpoint is the HTTP path for health checks (e.g., "/health/ready").
	// Optional but recommended for automatic health monitoring.
	// At most MaxHealthEndpointBytes bytes.
	HealthEndpoint string

	// Metadata contains additional key-value pairs for custom service information.
	// This can include tags, environment, region, etc.
	// At most MaxMetadataPairs pairs and, keys and values together, MaxMetadataBytes bytes.
	// Keys and values may be empty; a nil and an empty map are the same.
	Metadata map[string]string

	// RegisteredAt is the timestamp when the service was registered.
	// This is set automatically during registration, from the backend's clock in
	// microseconds, and is unique within a service. What the caller puts here is ignored.
	RegisteredAt time.Time

	// Tags are labels to select by, in the order given. Optional, at most MaxTags
	// tags of MaxTagBytes bytes each, none empty.
	Tags []string

	// Weight is the instance's share of requests relative to the others of its
	// service, at most MaxWeight, never negative. In a registration 0 means 1; what
	// a registry returns is at least 1.
	Weight int

	// Status is the instance's status. In a registration "" means StatusPassing,
	// and a repeated one then keeps what SetStatus set; what a registry returns is
	// never "".
	Status Status

	// Extensions is carried along for faces and tools; the library does not read it.
	// At most MaxMetadataPairs pairs and, keys and values together, MaxMetadataBytes bytes.
	Extensions map[string]string
}

// HostPort returns Address and Port as "host:port", an IPv6 address in brackets.
func (s ServiceInfo) HostPort() string {
	return net.JoinHostPort(s.Address, strconv.Itoa(s.Port))
}

// Status says whether an instance is to be called.
type Status string

const (
	// StatusPassing: to be called.
	StatusPassing Status = "passing"
	// StatusWarning: to be called, but something is amiss.
	StatusWarning Status = "warning"
	// StatusCritical: alive, not to be called.
	StatusCritical Status = "critical"
	// StatusDraining: alive, on its way out, not to be called.
	StatusDraining Status = "draining"
)

// callable reports whether instances of this status are to be called.
func (s Status) callable() bool { return s != StatusCritical && s != StatusDraining }

// MetadataZone is the Metadata key that names an instance's zone.
const MetadataZone = "zone"

// Limits of a ServiceInfo, in bytes of UTF-8 unless said otherwise.
const (
	MaxIDBytes             = 256
	MaxNameBytes           = 256
	MaxVersionBytes        = 256
	MaxAddressBytes        = 256
	MaxHealthEndpointBytes = 2048
	MaxMetadataPairs       = 256
	MaxMetadataBytes       = 64 << 10
	MaxTags                = 128
	MaxTagBytes            = 256
	MaxWeight              = 1_000_000
)

// Clone returns a deep copy: changing its maps and slices changes no other value.
func (s ServiceInfo) Clone() ServiceInfo {
	s.Metadata = maps.Clone(s.Metadata)
	s.Extensions = maps.Clone(s.Extensions)
	s.Tags = slices.Clone(s.Tags)
	return s
}

// cloneServices returns deep copies. What is changed of one leaves the others alone.
func cloneServices(services []ServiceInfo) []ServiceInfo {
	out := make([]ServiceInfo, len(services))
	copy(out, services)
	tags := 0
	for i := range out {
		s := &out[i]
		if s.Metadata != nil {
			s.Metadata = maps.Clone(s.Metadata)
		}
		if s.Extensions != nil {
			s.Extensions = maps.Clone(s.Extensions)
		}
		s.Tags = slices.Clip(s.Tags)
		tags += len(s.Tags)
	}
	if tags == 0 {
		return out
	}
	all := make([]string, 0, tags) // one allocation for the tags of all
	for i := range out {
		if s := &out[i]; len(s.Tags) > 0 {
			from := len(all)
			all = append(all, s.Tags...)
			s.Tags = slices.Clip(all[from:])
		}
	}
	return out
}
