package registry

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// validateService reports the first field of s that is not acceptable for a
// registration. An empty ID is: one is generated then.
func validateService(s ServiceInfo) error {
	if err := validateRecord(s); err != nil {
		return err
	}
	if problem := addressProblem(s.Address); problem != "" {
		return badService("Address", problem)
	}
	return nil
}

// validateRecord is validateService for what a backend holds already. It accepts
// addresses that cannot be called, which other versions of the library store: an
// instance that they list must not be missing here.
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
			return badService(f.name, problem)
		}
	}
	if s.Address == "" {
		return badService("Address", "is empty")
	}
	if s.Port < 1 || s.Port > 65535 {
		return badService("Port", fmt.Sprintf("%d is outside 1-65535", s.Port))
	}
	if err := validatePairs("Metadata", s.Metadata); err != nil {
		return err
	}
	if err := validateTags(s.Tags); err != nil {
		return err
	}
	if s.Weight < 0 || s.Weight > MaxWeight {
		return badService("Weight", fmt.Sprintf("%d is outside 0-%d", s.Weight, MaxWeight))
	}
	switch s.Status {
	case "", StatusPassing, StatusWarning, StatusCritical, StatusDraining:
	default:
		return badService("Status", fmt.Sprintf("%q is none of passing, warning, critical and draining", s.Status))
	}
	return validatePairs("Extensions", s.Extensions)
}

// validateName checks a service name; field is what the error calls it.
func validateName(field, name string) error {
	if name == "" {
		return badService(field, "is empty")
	}
	if problem := textProblem(name, MaxNameBytes); problem != "" {
		return badService(field, problem)
	}
	return nil
}

// validateID checks the ID of an instance that must already have one.
func validateID(id string) error {
	if id == "" {
		return badService("ID", "is empty")
	}
	if problem := textProblem(id, MaxIDBytes); problem != "" {
		return badService("ID", problem)
	}
	return nil
}

func validatePairs(field string, pairs map[string]string) error {
	if len(pairs) > MaxMetadataPairs {
		return badService(field, fmt.Sprintf("%d pairs are over the limit of %d", len(pairs), MaxMetadataPairs))
	}
	size := 0
	for key, value := range pairs {
		size += len(key) + len(value)
		if problem := textProblem(key, MaxMetadataBytes); problem != "" {
			return badService(field, "a key "+problem)
		}
		if problem := textProblem(value, MaxMetadataBytes); problem != "" {
			return badService(field, fmt.Sprintf("the value of %q %s", key, problem))
		}
	}
	if size > MaxMetadataBytes {
		return badService(field, fmt.Sprintf("%d bytes of keys and values are over the limit of %d", size, MaxMetadataBytes))
	}
	return nil
}

func validateTags(tags []string) error {
	if len(tags) > MaxTags {
		return badService("Tags", fmt.Sprintf("%d tags are over the limit of %d", len(tags), MaxTags))
	}
	for i, tag := range tags {
		problem := textProblem(tag, MaxTagBytes)
		if tag == "" {
			problem = "is empty"
		}
		if problem != "" {
			return badService("Tags", fmt.Sprintf("tag %d %s", i, problem))
		}
	}
	return nil
}

// textProblem says what is wrong with a text, or "". Lengths count bytes.
// The text itself is left out: it may be long, or unfit for a log.
func textProblem(text string, maxBytes int) string {
	if len(text) > maxBytes {
		return fmt.Sprintf("has %d bytes, over the limit of %d", len(text), maxBytes)
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

func badService(field, problem string) error {
	return fmt.Errorf("%w: %s: %s", ErrInvalidService, field, problem)
}
