package registry

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// AdvertiseAddr returns the host and port at which other machines reach a listener
// with this address. A specific IP is returned unchanged. For a listener on all
// addresses (":0", "0.0.0.0", "[::]") the host is this machine's first IPv4 address
// that is neither loopback nor link-local, in the order of the interfaces that are
// up. Without one it is the first such IPv6 address, unless the listener is for IPv4
// only, and otherwise loopback. Where that choice is wrong, behind NAT or with several
// networks, set ServiceInfo.Address yourself.
//
// An address that is not of TCP or UDP, or has no port, gives an error that
// matches ErrInvalidService.
func AdvertiseAddr(addr net.Addr) (host string, port int, err error) {
	listening, err := addrPort(addr)
	if err != nil {
		return "", 0, err
	}
	ip := listening.Addr().Unmap()
	if ip.IsUnspecified() {
		ip = reachable(interfaceAddrs(), ip.Is4())
	}
	return ip.String(), int(listening.Port()), nil
}

func addrPort(addr net.Addr) (netip.AddrPort, error) {
	var ap netip.AddrPort
	switch a := addr.(type) {
	case nil:
		return ap, invalidService("Address", "the listener has no address")
	case *net.TCPAddr:
		ap = netAddrPort(a.IP, a.Zone, a.Port)
	case *net.UDPAddr:
		ap = netAddrPort(a.IP, a.Zone, a.Port)
	default:
		if n := a.Network(); !strings.HasPrefix(n, "tcp") && !strings.HasPrefix(n, "udp") {
			return ap, invalidService("Address", fmt.Sprintf("a %q listener cannot be reached over the network: listen on TCP, or set Address and Port", n))
		}
		var err error
		if ap, err = netip.ParseAddrPort(a.String()); err != nil {
			return ap, invalidService("Address", fmt.Sprintf("the listener's address %q is not an IP and a port", a))
		}
	}
	if !ap.IsValid() {
		return ap, invalidService("Address", fmt.Sprintf("the listener's address %v is not an IP and a port", addr))
	}
	if ap.Port() == 0 {
		return ap, invalidService("Port", fmt.Sprintf("the listener's address %v has no port", addr))
	}
	return ap, nil
}

// netAddrPort returns an address and port; a missing IP, as in ":80", means all addresses.
func netAddrPort(ip net.IP, zone string, port int) netip.AddrPort {
	addr := netip.IPv6Unspecified()
	if len(ip) > 0 {
		var ok bool
		if addr, ok = netip.AddrFromSlice(ip); !ok {
			return netip.AddrPort{}
		}
		addr = addr.WithZone(zone)
	}
	return netip.AddrPortFrom(addr, uint16(port))
}

// reachable returns the address to advertise from those of a machine.
func reachable(addrs []netip.Addr, only4 bool) netip.Addr {
	for _, addr := range addrs {
		if addr.Is4() && addr.IsGlobalUnicast() {
			return addr
		}
	}
	if only4 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	loopback := netip.IPv6Loopback()
	for _, addr := range addrs {
		if addr.IsGlobalUnicast() {
			return addr
		}
		if addr.Is4() && addr.IsLoopback() {
			loopback = addr
		}
	}
	return loopback
}

// interfaceAddrs returns the addresses of the interfaces that are up, ordered by
// interface index. Interfaces that cannot be read are left out.
func interfaceAddrs() []netip.Addr {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var all []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, addr := range addrs {
			if prefix, ok := addr.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(prefix.IP); ok {
					all = append(all, ip.Unmap())
				}
			}
		}
	}
	return all
}
