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
// slices included, changes no other copy. Texts must be valid UTF-8 without control
// characters; anything else, and anything over a limit, is refused.
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
	// Required, at most MaxAddressBytes bytes: an IP address, IPv6 without brackets,
	// or a host name. What no client can connect to is refused: an unspecified or
	// multicast address, a link-local IPv6 address without its zone, an address with
	// a port, a URL. It is neither resolved nor contacted.
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
	// microseconds, and is unique within a service. In a registration it is ignored.
	RegisteredAt time.Time

	// Tags are labels to select by, in the order given. Optional, at most MaxTags
	// tags of MaxTagBytes bytes each, none empty.
	Tags []string

	// Weight is the instance's share of requests relative to the others of its
	// service, 0 to MaxWeight. In a registration 0 means 1; a registry returns at
	// least 1.
	Weight int

	// Status is the instance's status. In a registration "" means StatusPassing, and
	// in a repeated one it keeps what SetStatus set. A registry never returns "".
	Status Status

	// Extensions is opaque to the library: stored and returned unchanged.
	// At most MaxMetadataPairs pairs and, keys and values together, MaxMetadataBytes bytes.
	Extensions map[string]string
}

// HostPort returns Address and Port as "host:port", an IPv6 address in brackets.
func (s ServiceInfo) HostPort() string {
	return net.JoinHostPort(s.Address, strconv.Itoa(s.Port))
}

// Status says whether an instance is callable.
type Status string

const (
	// StatusPassing is the status of an instance that is callable and healthy.
	StatusPassing Status = "passing"
	// StatusWarning is the status of an instance that is callable with a problem.
	StatusWarning Status = "warning"
	// StatusCritical is the status of a live instance that must not be called.
	StatusCritical Status = "critical"
	// StatusDraining is the status of a live instance that is about to stop and must
	// not be called.
	StatusDraining Status = "draining"
)

// callable reports whether instances of this status may be called.
func (s Status) callable() bool { return s != StatusCritical && s != StatusDraining }

// MetadataZone is the Metadata key that names an instance's zone.
const MetadataZone = "zone"

// Limits of a ServiceInfo. Those named Bytes are in bytes of UTF-8.
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

// cloneServices returns deep copies.
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
	all := make([]string, 0, tags) // one allocation for all tags
	for i := range out {
		if s := &out[i]; len(s.Tags) > 0 {
			from := len(all)
			all = append(all, s.Tags...)
			s.Tags = slices.Clip(all[from:])
		}
	}
	return out
}
