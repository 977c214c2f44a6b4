package grpcresolver

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/rollcall-sd/rollcall/internal/selector"
	"github.com/rollcall-sd/rollcall/registry"
)

// target is what a client asked for.
type target struct {
	name  string
	zone  string // preferred; "" for none
	query string // as written, for errors
	selector.Selector
}

const metadataPrefix = "metadata."

// parseTarget reads a target, or says what is wrong with it.
func parseTarget(u url.URL) (*target, error) {
	refuse := func(err error) (*target, error) {
		return nil, fmt.Errorf("rollcall: target %q: %w", u.Redacted(), err)
	}
	t := &target{name: strings.TrimPrefix(u.Path, "/"), query: u.RawQuery}
	t.Metadata = make(map[string]string)
	switch {
	case u.Host != "" || u.User != nil || u.Opaque != "":
		return refuse(errors.New("a service is named after three slashes, as in rollcall:///api"))
	case u.Fragment != "":
		return refuse(errors.New("has a fragment; a # in a name is written %23"))
	case t.name == "":
		return refuse(errors.New("names no service; write rollcall:///api"))
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return refuse(err)
	}
	for key, values := range query {
		for _, value := range values {
			if err := t.set(key, value); err != nil {
				return refuse(fmt.Errorf("%s=%s: %w", key, value, err))
			}
		}
		if len(values) > 1 && key != "tag" {
			return refuse(fmt.Errorf("%s is given %d times", key, len(values)))
		}
	}
	return t, nil
}

// set takes one parameter.
func (t *target) set(key, value string) (err error) {
	name, metadata := strings.CutPrefix(key, metadataPrefix)
	switch {
	case metadata:
		t.Metadata[name] = value
	case key != "zone" && key != "version" && key != "tag":
		return errors.New("is no parameter: there are zone, version, tag and metadata.KEY")
	case value == "":
		return errors.New("has no value")
	case key == "zone":
		t.zone = value
	case key == "tag":
		t.Tags = append(t.Tags, value)
	default:
		if t.Versions, err = semver.NewConstraint(value); err != nil {
			return fmt.Errorf("is no range of semantic versions such as ^1.2 or >=1.2,<3: %w", err)
		}
	}
	return nil
}

// key tells targets apart.
func (t *target) key() string { return t.name + "?" + t.query }

// choose returns the instances that the target means.
func (t *target) choose(instances []registry.ServiceInfo) []*registry.ServiceInfo {
	var matching []*registry.ServiceInfo
	for i := range instances {
		if s := &instances[i]; t.Matches(s) {
			matching = append(matching, s)
		}
	}
	near, _ := selector.SplitZone(matching, t.zone, func(s *registry.ServiceInfo) *registry.ServiceInfo { return s })
	return near
}

// noInstances says why a snapshot has no instance for the target.
func (t *target) noInstances(s *registry.Snapshot) error {
	selection := t.query
	if len(t.Tags) == 0 && len(t.Metadata) == 0 && t.Versions == nil {
		selection = ""
	}
	return fmt.Errorf("rollcall: %s", selector.Absence(s, selection))
}
