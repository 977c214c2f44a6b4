package servercheck

import (
	"context"
	"strings"
)

// kinds are the fields of INFO by which servers say what they are. Those of Redis are
// last: others have them too, for programs that look for Redis only.
var kinds = []struct{ field, kind string }{
	{"valkey_version", "Valkey"},
	{"dragonfly_version", "Dragonfly"},
	{"garnet_version", "Garnet"},
	{"redis_version", "Redis"},
}

// parseKind returns the kind and the version of a server from its reply to INFO.
func parseKind(info string) (kind, version string) {
	fields := parseInfo(info)
	for _, k := range kinds {
		if version := fields[k.field]; version != "" {
			return k.kind, version
		}
	}
	return "", ""
}

// parseInfo returns the fields of a reply to INFO.
func parseInfo(info string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

func (c *checker) checkInfo(ctx context.Context) Finding {
	f := Finding{Check: "INFO", Result: Passed}
	info, err := c.client.Info(ctx, "server").Result()
	if err != nil {
		f.Result, f.Detail = Limited, err.Error()
		f.Remedy = "grant +info, or do without the warning about the eviction policy and the notice that an address moved"
		return f
	}
	c.report.Kind, c.report.Version = parseKind(info)
	return f
}

func (c *checker) checkEviction(ctx context.Context) Finding {
	f := Finding{Check: "eviction"}
	info, err := c.client.Info(ctx, "memory").Result()
	policy := parseInfo(info)["maxmemory_policy"]
	switch {
	case err != nil:
		f.Result, f.Detail = Unknown, err.Error()
	case policy == "":
		f.Result, f.Detail = Unknown, "INFO memory has no maxmemory_policy"
	case policy == "noeviction":
		f.Result, f.Detail = Passed, policy
	default:
		f.Result, f.Detail = Limited, "maxmemory-policy is "+policy+": registrations may be evicted when memory is full"
	}
	if f.Result != Passed {
		f.Remedy = "set maxmemory-policy to noeviction"
	}
	return f
}
