package prometheus

import (
	"maps"
	"slices"
	"strings"

	"github.com/rollcall-sd/rollcall/cmd/internal/consulapi"
	"github.com/rollcall-sd/rollcall/registry"
)

const (
	labelPrefix        = "__meta_rollcall_"
	metadataPrefix     = labelPrefix + "metadata_"
	nodeMetadataPrefix = labelPrefix + "node_metadata_"
)

// labels returns the labels of a target. Prometheus drops those that begin with __ after
// relabeling. Texts that are empty have no label, which is the same to Prometheus.
func labels(i *consulapi.Instance) map[string]string {
	l := make(map[string]string, 8+len(i.Metadata))
	set := func(name, value string) {
		if value != "" {
			l[labelPrefix+name] = value
		}
	}
	set("service", i.Name)
	set("id", i.ID)
	set("status", status(i))
	set("version", i.Version)
	set("zone", i.Metadata[registry.MetadataZone])
	set("health_endpoint", i.HealthEndpoint)
	if len(i.Tags) > 0 {
		set("tags", ","+strings.Join(i.Tags, ",")+",")
	}
	setAll(l, metadataPrefix, i.Metadata)
	if i.Node != nil {
		set("node", i.Node.Name)
		set("node_address", i.Node.Address)
		setAll(l, nodeMetadataPrefix, i.Node.Meta)
	}
	return l
}

// setAll sets a label for each pair. Of keys that become the same name, the first in
// their order counts.
func setAll(l map[string]string, prefix string, pairs map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		name := prefix + sanitize(key)
		if _, taken := l[name]; !taken && pairs[key] != "" {
			l[name] = pairs[key]
		}
	}
}

// sanitize makes a key the end of a label's name: what is no ASCII letter, digit or
// underscore becomes an underscore.
func sanitize(key string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, key)
}
