package selector

import (
	"net/netip"
	"strings"

	"github.com/rollcall-sd/rollcall/registry"
)

// NewestPerAddress returns the callable instances of a snapshot, oldest first,
// without those whose host and port a newer registration of the service has. A
// process listens there alone: the older instance has died and its lease has
// not ended yet. The newer one counts whatever it says of itself: if it is
// critical or draining, nothing at that address is callable.
//
// Call it before anything is selected: the newer instance may not match. The
// result is snap.Instances itself if it has them all: read only.
func NewestPerAddress(snap *registry.Snapshot) []registry.ServiceInfo {
	newest := make(map[address]*registry.ServiceInfo, len(snap.Instances))
	for _, list := range [][]registry.ServiceInfo{snap.Others, snap.Instances} {
		for i := range list {
			s := &list[i]
			a := addressOf(s)
			if other := newest[a]; other == nil || !s.RegisteredAt.Before(other.RegisteredAt) {
				newest[a] = s
			}
		}
	}
	if len(newest) == len(snap.Instances)+len(snap.Others) {
		return snap.Instances
	}
	kept := make([]registry.ServiceInfo, 0, len(snap.Instances))
	for i := range snap.Instances {
		if s := &snap.Instances[i]; newest[addressOf(s)] == s {
			kept = append(kept, *s)
		}
	}
	return kept
}

// address is where an instance listens, written in one way.
type address struct {
	host string
	ip   netip.Addr // if the host is one
	port int
}

func addressOf(s *registry.ServiceInfo) address {
	if ip, err := netip.ParseAddr(s.Address); err == nil {
		return address{ip: ip.Unmap(), port: s.Port}
	}
	return address{host: strings.TrimSuffix(strings.ToLower(s.Address), "."), port: s.Port}
}
