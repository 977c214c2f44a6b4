package selector

import "github.com/rollcall-sd/rollcall/registry"

// SplitZone divides a list, in its order, into what is in a zone and the rest.
// If nothing is in the zone, or zone is "", near is the whole list. info returns
// an element's instance.
func SplitZone[E any](list []E, zone string, info func(E) *registry.ServiceInfo) (near, far []E) {
	if zone == "" {
		return list, nil
	}
	for _, e := range list {
		if info(e).Metadata[registry.MetadataZone] == zone {
			near = append(near, e)
		} else {
			far = append(far, e)
		}
	}
	if len(near) == 0 {
		return list, nil
	}
	return near, far
}
