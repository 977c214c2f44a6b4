package consulapi

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// guard makes the connections of checks. They reach loopback and the addresses that are
// allowed, whatever a name resolves to at that moment, and never an address of the link
// or one where a cloud serves credentials.
type guard struct{ allow []netip.Prefix }

// forbidden stay out of reach though a wider prefix is allowed.
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),    // link-local, and metadata of most clouds
	netip.MustParsePrefix("fe80::/10"),         // link-local
	netip.MustParsePrefix("fd00:ec2::254/128"), // metadata of AWS
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("ff00::/8"),
}

func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: time.Minute, Control: g.control}
	return d.DialContext(ctx, network, address)
}

// control runs for each address that a name resolved to, before the connection is made.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("check of %s: %w", address, err)
	}
	return g.permit(to.Addr())
}

func (g *guard) permit(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	for _, p := range forbidden {
		if p.Contains(addr) {
			return fmt.Errorf("checks may not reach %s: it is link-local, a metadata service or no host", addr)
		}
	}
	if addr.IsLoopback() {
		return nil
	}
	for _, p := range g.allow {
		if p.Contains(addr) {
			return nil
		}
	}
	return fmt.Errorf("checks may not reach %s: start the daemon with --check-allow and its CIDR", addr)
}
