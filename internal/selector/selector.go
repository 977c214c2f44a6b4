// Package selector chooses instances by what they say of themselves, and by
// which of two at one address is the newer.
package selector

import (
	"slices"

	"github.com/Masterminds/semver/v3"

	"github.com/rollcall-sd/rollcall/registry"
)

// Selector says which instances of a service are meant: those with all the
// tags, all the metadata, and a version in the range. Its zero value means all.
type Selector struct {
	Tags     []string
	Metadata map[string]string
	Versions *semver.Constraints // nil for any
}

// Matches reports whether an instance is meant. Where a range of versions is
// given, one whose version is not a semantic one is not.
func (s *Selector) Matches(i *registry.ServiceInfo) bool {
	for _, tag := range s.Tags {
		if !slices.Contains(i.Tags, tag) {
			return false
		}
	}
	for key, want := range s.Metadata {
		if have, set := i.Metadata[key]; !set || have != want {
			return false
		}
	}
	if s.Versions == nil {
		return true
	}
	v, err := semver.NewVersion(i.Version)
	return err == nil && s.Versions.Check(v)
}
