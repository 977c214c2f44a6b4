package balance

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/rollcall-sd/rollcall/internal/selector"
)

// selection is a Selector as the options give it.
type selection struct {
	selector.Selector
	versions string // the range as text
}

func (s *selection) setVersion(constraint string) error {
	if strings.TrimSpace(constraint) == "" {
		return errors.New("the range is empty")
	}
	if s.Versions != nil {
		return fmt.Errorf("is given twice: join the ranges with a comma, as in %q", s.versions+", "+constraint)
	}
	c, err := semver.NewConstraint(constraint)
	if err != nil {
		return fmt.Errorf("%q is no range of semantic versions, such as ^1.2 or \">=1.2, <3\": %w", constraint, err)
	}
	s.Versions, s.versions = c, constraint
	return nil
}

// String describes the selection for an error: "" if every instance matches.
func (s *selection) String() string {
	var parts []string
	if len(s.Tags) > 0 {
		parts = append(parts, fmt.Sprintf("tags %q", s.Tags))
	}
	if len(s.Metadata) > 0 {
		parts = append(parts, fmt.Sprintf("metadata %q", s.Metadata))
	}
	if s.Versions != nil {
		parts = append(parts, fmt.Sprintf("version %q", s.versions))
	}
	return strings.Join(parts, ", ")
}
