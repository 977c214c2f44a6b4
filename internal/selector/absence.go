package selector

import (
	"fmt"

	"github.com/rollcall-sd/rollcall/registry"
)

// Absence says why no instance of a snapshot can be called. selection is what
// instances had to match, as text, or "" if there was no such condition.
func Absence(snap *registry.Snapshot, selection string) string {
	switch n := len(snap.Instances); {
	case n > 0 && selection == "":
		return fmt.Sprintf("no callable instances of %q: a newer registration has the address of each, and is critical or draining", snap.Service)
	case n > 0:
		return fmt.Sprintf("none of the %d callable instances of %q matches %s", n, snap.Service, selection)
	case len(snap.Others) > 0:
		draining := 0
		for i := range snap.Others {
			if snap.Others[i].Status == registry.StatusDraining {
				draining++
			}
		}
		return fmt.Sprintf("no callable instances of %q: %d critical, %d draining", snap.Service, len(snap.Others)-draining, draining)
	}
	return fmt.Sprintf("no instances of %q", snap.Service)
}
