package registry

import (
	"fmt"
	"net/netip"
	"strings"
)

// addressProblem says why clients cannot call an instance at this address, and
// what to write instead, or "". It is not empty. An address is an IP address, without brackets
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
		return fmt.Sprintf("%s means every address of a listener and cannot be called: write one that clients reach; AdvertiseAddr finds it", ip)
	case ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Sprintf("%s is no address of one host: write one that clients reach", ip)
	case ip.Is6() && ip.IsLinkLocalUnicast() && ip.Zone() == "":
		return fmt.Sprintf("%s is link-local and has no zone, without which it cannot be called: write %[1]s%%eth0 with the clients' interface, or an address that is not link-local", ip)
	}
	return ""
}

// hostNameProblem allows what resolvers look up in practice: letters of any
// script, digits, hyphens and underscores in labels between dots.
func hostNameProblem(name string) string {
	for _, c := range name {
		if c <= ' ' || strings.ContainsRune("!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~\u00a0\u3000", c) {
			return fmt.Sprintf("has %q, which no host name has: write the host name or IP address only", c)
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
	// Resolvers take a name whose last part is a number for an IPv4 address.
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "is neither an IP address nor a host name: the last part of a host name is not a number"
	}
	return ""
}
