package registry

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// validateService returns an error about the first field of s that is not acceptable
// in a registration. An empty ID is acceptable: one is generated.
func validateService(s ServiceInfo) error {
	if err := validateRecord(s); err != nil {
		return err
	}
	if problem := addressProblem(s.Address); problem != "" {
		return invalidService("Address", problem)
	}
	return nil
}

// validateRecord is validateService for a record that a backend holds. It accepts
// addresses that cannot be called, because older versions of the library store them
// and an instance that they list must not be missing here.
func validateRecord(s ServiceInfo) error {
	if err := validateName("Name", s.Name); err != nil {
		return err
	}
	for _, f := range [...]struct {
		name, text string
		max        int
	}{
		{"ID", s.ID, MaxIDBytes},
		{"Version", s.Version, MaxVersionBytes},
		{"Address", s.Address, MaxAddressBytes},
		{"HealthEndpoint", s.HealthEndpoint, MaxHealthEndpointBytes},
	} {
		if problem := textProblem(f.text, f.max); problem != "" {
			return invalidService(f.name, problem)
		}
	}
	if s.Address == "" {
		return invalidService("Address", "is empty")
	}
	if s.Port < 1 || s.Port > 65535 {
		return invalidService("Port", fmt.Sprintf("%d is outside 1-65535", s.Port))
	}
	if err := validatePairs("Metadata", s.Metadata); err != nil {
		return err
	}
	if err := validateTags(s.Tags); err != nil {
		return err
	}
	if s.Weight < 0 || s.Weight > MaxWeight {
		return invalidService("Weight", fmt.Sprintf("%d is outside 0-%d", s.Weight, MaxWeight))
	}
	switch s.Status {
	case "", StatusPassing, StatusWarning, StatusCritical, StatusDraining:
	default:
		return invalidService("Status", statusProblem(s.Status))
	}
	return validatePairs("Extensions", s.Extensions)
}

// validateName checks a service name; field is its name in the error.
func validateName(field, name string) error {
	if name == "" {
		return invalidService(field, "is empty")
	}
	if problem := textProblem(name, MaxNameBytes); problem != "" {
		return invalidService(field, problem)
	}
	return nil
}

// validateID checks the ID of an existing instance.
func validateID(id string) error {
	if id == "" {
		return invalidService("ID", "is empty")
	}
	if problem := textProblem(id, MaxIDBytes); problem != "" {
		return invalidService("ID", problem)
	}
	return nil
}

func validatePairs(field string, pairs map[string]string) error {
	if len(pairs) > MaxMetadataPairs {
		return invalidService(field, fmt.Sprintf("%d pairs exceed the limit of %d", len(pairs), MaxMetadataPairs))
	}
	size := 0
	for key, value := range pairs {
		size += len(key) + len(value)
		if problem := textProblem(key, MaxMetadataBytes); problem != "" {
			return invalidService(field, "a key "+problem)
		}
		if problem := textProblem(value, MaxMetadataBytes); problem != "" {
			return invalidService(field, fmt.Sprintf("the value of %q %s", key, problem))
		}
	}
	if size > MaxMetadataBytes {
		return invalidService(field, fmt.Sprintf("%d bytes of keys and values exceed the limit of %d", size, MaxMetadataBytes))
	}
	return nil
}

func validateTags(tags []string) error {
	if len(tags) > MaxTags {
		return invalidService("Tags", fmt.Sprintf("%d tags exceed the limit of %d", len(tags), MaxTags))
	}
	for i, tag := range tags {
		problem := textProblem(tag, MaxTagBytes)
		if tag == "" {
			problem = "is empty"
		}
		if problem != "" {
			return invalidService("Tags", fmt.Sprintf("tag %d %s", i, problem))
		}
	}
	return nil
}

// textProblem returns what is wrong with a text, or "". Lengths are in bytes. The
// text itself is left out: it may be long, or unfit for a log.
func textProblem(text string, maxBytes int) string {
	if len(text) > maxBytes {
		return fmt.Sprintf("has %d bytes, more than the limit of %d", len(text), maxBytes)
	}
	ascii := true
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c == 0x7f:
			return fmt.Sprintf("has a control character (%U) at byte %d", c, i)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if ascii {
		return ""
	}
	if !utf8.ValidString(text) {
		return "is not valid UTF-8"
	}
	for i, r := range text {
		if unicode.IsControl(r) {
			return fmt.Sprintf("has a control character (%U) at byte %d", r, i)
		}
	}
	return ""
}

func statusProblem(s Status) string {
	return fmt.Sprintf("%q is not one of passing, warning, critical and draining", s)
}

func invalidService(field, problem string) error {
	return fmt.Errorf("%w: %s: %s", ErrInvalidService, field, problem)
}

// addressProblem returns why clients cannot call an instance at a non-empty address
// and what to write instead, or "". An address is an IP address, without brackets
// around IPv6, or a host name.
func addressProblem(address string) string {
	switch {
	case strings.Contains(address, "://"):
		return "is a URL: write the host name or IP address only, and the port in Port"
	case strings.TrimSpace(address) != address:
		return "begins or ends with a space: write the host name or IP address only"
	case strings.HasPrefix(address, "["):
		return "has brackets: write an IPv6 address without them, and the port in Port"
	}
	if ip, err := netip.ParseAddr(address); err == nil {
		return ipProblem(ip.Unmap())
	}
	if host, _, found := strings.Cut(address, ":"); found {
		if strings.Count(address, ":") == 1 {
			return fmt.Sprintf("has a port: write %q, and the port in Port", host)
		}
		return "has colons but is not an IPv6 address"
	}
	return hostNameProblem(strings.TrimSuffix(address, "."))
}

func ipProblem(ip netip.Addr) string {
	switch {
	case ip.WithZone("").IsUnspecified():
		return fmt.Sprintf("%s means all addresses of a listener and cannot be called: write one that clients can reach; AdvertiseAddr finds it", ip)
	case ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Sprintf("%s is not the address of one host: write one that clients can reach", ip)
	case ip.Is6() && ip.IsLinkLocalUnicast() && ip.Zone() == "":
		return fmt.Sprintf("%s is link-local and has no zone, without which it cannot be called: write %[1]s%%eth0 with the clients' interface, or an address that is not link-local", ip)
	}
	return ""
}

// hostNameProblem allows the names that resolvers look up in practice: labels
// of letters of any script, digits, hyphens and underscores, separated by dots.
func hostNameProblem(name string) string {
	for _, c := range name {
		if c <= ' ' || strings.ContainsRune("!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~\u00a0\u3000", c) {
			return fmt.Sprintf("has %q, which a host name must not have: write the host name or IP address only", c)
		}
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		switch {
		case label == "":
			return "has an empty part between dots"
		case label[0] == '-' || label[len(label)-1] == '-':
			return fmt.Sprintf("has a part %q that begins or ends with a hyphen", label)
		}
	}
	// Resolvers read a name whose last part is a number as an IPv4 address.
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "is neither an IP address nor a host name: the last part of a host name must not be a number"
	}
	return ""
}
