package servercheck

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// kinds are the fields of INFO by which servers say what they are. Those of Redis are
// last: others have them too, for programs that look for Redis only.
var kinds = []struct{ field, kind string }{
	{"valkey_version", "Valkey"},
	{"dragonfly_version", "Dragonfly"},
	{"garnet_version", "Garnet"},
	{"redis_version", "Redis"},
}

// kindOf returns the kind and the version of a server.
func kindOf(info map[string]string) (kind, version string) {
	for _, k := range kinds {
		if version := info[k.field]; version != "" {
			return k.kind, version
		}
	}
	return "", ""
}

// repaired is what becomes of registrations that a server loses.
const repaired = "owners that run write it again within a heartbeat + 1 s"

func (c *checker) checkInfo(context.Context) Finding {
	return c.forEach(func(p *part) Finding {
		switch {
		case p.infoErr != nil && !isReply(p.infoErr):
			return Finding{Result: Failed, Detail: "no reply: " + p.infoErr.Error(), Remedy: "start the server, or repair the way to it; on a Cluster, have a replica take its slots",
				Why: "what it holds cannot be registered or found"}
		case p.infoErr != nil:
			return Finding{Result: Limited, Detail: p.infoErr.Error(), Remedy: c.grant("+info"),
				Why: "without INFO no process warns of the eviction policy or notices that an address moved, and the checks below know less"}
		}
		return Finding{Result: Passed}
	})
}

func (c *checker) checkVersion(context.Context) Finding {
	return c.fromInfo(func(p *part) Finding {
		kind, version := kindOf(p.info)
		c.report.Kind, c.report.Version = kind, version
		switch {
		case version == "":
			return Finding{Result: Unknown, Detail: "INFO server names no version"}
		case kind == "Redis" && older(version, 6, 2):
			return Finding{Result: Failed, Detail: kind + " " + version, Remedy: "use Redis 6.2 or later, or Valkey",
				Why: "the scripts use commands and options of 6.2"}
		}
		return Finding{Result: Passed, Detail: kind + " " + version}
	})
}

func older(version string, major, minor int) bool {
	var x, y int
	if n, _ := fmt.Sscanf(version, "%d.%d", &x, &y); n < 2 {
		return false
	}
	return x < major || x == major && y < minor
}

// checkRole says whether the address leads to a primary, and the URL fits the server.
func (c *checker) checkRole(context.Context) Finding {
	return c.fromInfo(func(p *part) Finding {
		role := p.info["role"]
		switch {
		case role == "slave" || role == "replica":
			primary := p.info["master_host"] + ":" + p.info["master_port"]
			return Finding{Result: Failed, Detail: "a replica of " + primary,
				Remedy: "use the address of the primary (" + primary + "), or a redis+sentinel:// or redis+cluster:// URL, which finds it",
				Why:    "a replica refuses writes (READONLY), and its data is late"}
		case p.info["redis_mode"] == "cluster" && !c.cluster:
			return Finding{Result: Failed, Detail: "a node of a Cluster", Remedy: "use a redis+cluster:// URL",
				Why: "this node refuses keys of the others' slots"}
		case role == "":
			return Finding{Result: Unknown, Detail: "INFO replication names no role"}
		}
		return Finding{Result: Passed, Detail: "primary"}
	})
}

func (c *checker) checkEviction(context.Context) Finding {
	return c.fromInfo(func(p *part) Finding {
		policy := p.info["maxmemory_policy"]
		switch policy {
		case "noeviction":
			return Finding{Result: Passed, Detail: policy}
		case "":
			return Finding{Result: Unknown, Detail: "INFO memory has no maxmemory_policy"}
		}
		detail := "maxmemory-policy is " + policy
		if p.info["maxmemory"] == "0" {
			detail += "; no maxmemory is set now"
		}
		return Finding{Result: Failed, Detail: detail, Remedy: "CONFIG SET maxmemory-policy noeviction, or the same in the service's parameters",
			Why: "when memory is full, registrations of instances that run are evicted, and again after each repair"}
	})
}

// nearlyFull is the share of the memory limit from which on it is reported.
const nearlyFull = 0.9

func (c *checker) checkMemory(context.Context) Finding {
	return c.fromInfo(func(p *part) Finding {
		limit, _ := strconv.ParseFloat(p.info["maxmemory"], 64)
		used, err := strconv.ParseFloat(p.info["used_memory"], 64)
		switch {
		case err != nil:
			return Finding{Result: Unknown, Detail: "INFO memory has no used_memory"}
		case limit <= 0:
			return Finding{Result: Passed, Detail: fmt.Sprintf("%.1f MiB used, no limit", used/(1<<20))}
		}
		detail := fmt.Sprintf("%.1f of %.1f MiB used (%.0f %%)", used/(1<<20), limit/(1<<20), 100*used/limit)
		if used < nearlyFull*limit {
			return Finding{Result: Passed, Detail: detail}
		}
		return Finding{Result: Limited, Detail: detail, Remedy: "raise maxmemory, or remove other data",
			Why: "when the limit is reached, Register fails with OOM, and other policies than noeviction evict registrations"}
	})
}

func (c *checker) checkPersistence(ctx context.Context) Finding {
	return c.fromInfo(func(p *part) Finding {
		for field, what := range map[string]string{"aof_last_write_status": "write to the append-only file", "rdb_last_bgsave_status": "snapshot"} {
			if status := p.info[field]; status != "" && status != "ok" {
				return Finding{Result: Limited, Detail: "the last " + what + " failed", Remedy: "free the disk, and check the rights to its folder; the server's log says more",
					Why: "Redis may refuse all writes then (MISCONF)"}
			}
		}
		return Finding{Result: Passed, Detail: persistence(p.info, p.config(ctx, "save"), p.config(ctx, "appendfsync"), time.Now())}
	})
}

// persistence says what a restart loses. The settings are "?" if the user may not see them.
func persistence(info map[string]string, save, fsync string, now time.Time) string {
	switch {
	case info["aof_enabled"] == "1" && fsync == "always":
		return "append-only file, appendfsync always: a restart loses nothing"
	case info["aof_enabled"] == "1":
		return fmt.Sprintf("append-only file, appendfsync %s: a restart loses nothing, a crash of the machine what was not synced, usually one second; %s", fsync, repaired)
	case save == "":
		return "none: a restart loses all registrations; " + repaired
	case info["rdb_last_save_time"] == "":
		return "the server does not say; what a restart loses, " + repaired
	}
	seconds, _ := strconv.ParseInt(info["rdb_last_save_time"], 10, 64)
	age := now.Sub(time.Unix(seconds, 0)).Round(time.Second)
	return fmt.Sprintf("snapshots (save %q): a restart loses what was written since the last one, or since the start, %v ago; %s", save, age, repaired)
}

// config returns a setting, or "?" if the server does not permit the question.
func (p *part) config(ctx context.Context, name string) string {
	settings, err := p.client.ConfigGet(ctx, name).Result()
	value, ok := settings[name]
	if err != nil || !ok {
		return "?"
	}
	return value
}

func (c *checker) checkReplicas(context.Context) Finding {
	return c.fromInfo(func(p *part) Finding {
		replicas, err := strconv.Atoi(p.info["connected_slaves"])
		good, demanded := p.info["min_slaves_good_slaves"]
		switch {
		case err != nil:
			return Finding{Result: Unknown, Detail: "INFO replication has no connected_slaves"}
		case demanded:
			return Finding{Result: Passed, Detail: fmt.Sprintf("%d, of which %s count for min-replicas-to-write", replicas, good)}
		case replicas == 0:
			return Finding{Result: Passed, Detail: "none: while this server is down, processes keep what they know, and nothing can be registered"}
		}
		return Finding{Result: Limited, Detail: fmt.Sprintf("%d, and min-replicas-to-write is not set", replicas),
			Remedy: "CONFIG SET min-replicas-to-write 1, and min-replicas-max-lag 10",
			Why:    "an old primary that is cut off then refuses writes instead of accepting registrations that are lost in the failover and have to be written again"}
	})
}

// allSlots is how many slots a Cluster has.
const allSlots = 16384

// checkSlots says whether each slot of a Cluster has a primary.
func (c *checker) checkSlots(ctx context.Context) Finding {
	if !c.cluster {
		return Finding{Result: Passed, Detail: "no Cluster"}
	}
	ranges, err := c.Client.ClusterSlots(ctx).Result()
	if err != nil {
		return Finding{Result: Failed, Detail: "CLUSTER SLOTS: " + err.Error(), Remedy: c.grant("+cluster|slots"), Why: "the nodes of a Cluster are found by it"}
	}
	covered, missing := 0, []string{}
	has := make([]bool, allSlots)
	for _, r := range ranges {
		for slot := r.Start; slot <= r.End && slot < allSlots && len(r.Nodes) > 0; slot++ {
			if !has[slot] {
				has[slot] = true
				covered++
			}
		}
	}
	for slot := 0; slot < allSlots; slot++ {
		if has[slot] {
			continue
		}
		from := slot
		for slot+1 < allSlots && !has[slot+1] {
			slot++
		}
		missing = append(missing, fmt.Sprintf("%d-%d", from, slot))
	}
	detail := fmt.Sprintf("%d of %d covered by %d primaries", covered, allSlots, len(c.parts))
	if covered == allSlots {
		return Finding{Result: Passed, Detail: detail}
	}
	return Finding{Result: Failed, Detail: detail + "; without a node: " + strings.Join(missing, ", "),
		Remedy: "assign the slots: redis-cli --cluster fix HOST:PORT, or start the nodes that had them",
		Why:    "services in these slots cannot be registered or found, and by default the Cluster refuses all others, too"}
}
