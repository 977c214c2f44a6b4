package balance

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/rollcall-sd/rollcall/registry"
)

// selector says which instances of a service are meant.
type selector struct {
	tags     []string
	metadata map[string]string
	version  *semver.Constraints
	text     string // of the version range
}

func (s *selector) setVersion(constraint string) error {
	if strings.TrimSpace(constraint) == "" {
		return errors.New("the range is empty")
	}
	if s.version != nil {
		return fmt.Errorf("is given twice: join the ranges with a comma, as in %q", s.text+", "+constraint)
	}
	c, err := semver.NewConstraint(constraint)
	if err != nil {
		return fmt.Errorf("%q is no range of semantic versions, such as ^1.2 or \">=1.2, <3\": %w", constraint, err)
	}
	s.version, s.text = c, constraint
	return nil
}

func (s *selector) matches(i *registry.ServiceInfo) bool {
	for _, tag := range s.tags {
		if !slices.Contains(i.Tags, tag) {
			return false
		}
	}
	for key, want := range s.metadata {
		if have, set := i.Metadata[key]; !set || have != want {
			return false
		}
	}
	if s.version == nil {
		return true
	}
	v, err := semver.NewVersion(i.Version)
	return err == nil && s.version.Check(v)
}

// String words the selection for an error.
func (s *selector) String() string {
	var parts []string
	if len(s.tags) > 0 {
		parts = append(parts, fmt.Sprintf("tags %q", s.tags))
	}
	if len(s.metadata) > 0 {
		parts = append(parts, fmt.Sprintf("metadata %q", s.metadata))
	}
	if s.version != nil {
		parts = append(parts, fmt.Sprintf("version %q", s.text))
	}
	return strings.Join(parts, ", ")
}
