package servercheck

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

// Hash tags of keys in the first and in the last slot, so that they are in two shards
// wherever there are two.
const (
	firstSlot = "1bz"
	lastSlot  = "hia"
)

// infoSections are what the checks read of INFO.
var infoSections = []string{"server", "memory", "persistence", "replication"}

// part is one server behind the target: the only one, or a primary of a Cluster.
type part struct {
	name   string // its address; "" for the only one
	client *redis.Client
	tag    string // of keys that it has

	info    map[string]string
	infoErr error

	refused refused // of the calls of checkRights
}

// maxTags bounds the hash tags that are tried to find one of each primary.
const maxTags = 10_000

// findParts finds the servers, and asks each what it says of itself.
func (c *checker) findParts(ctx context.Context) {
	for _, client := range redisclient.Primaries(ctx, c.Client) {
		c.parts = append(c.parts, part{client: client, tag: firstSlot})
	}
	if c.cluster {
		missing := make(map[string]*part)
		for i := range c.parts {
			p := &c.parts[i]
			p.name = p.client.Options().Addr
			missing[p.name] = p
		}
		for i := 0; i < maxTags && len(missing) > 0; i++ {
			tag := strconv.Itoa(i)
			node := redisclient.NodeOf(ctx, c.Client, "{"+tag+"}")
			if p := missing[node]; p != nil {
				p.tag = tag
				delete(missing, node)
			}
		}
	}
	for i := range c.parts {
		c.parts[i].readInfo(ctx)
	}
}

func (p *part) readInfo(ctx context.Context) {
	p.info = make(map[string]string)
	for _, section := range infoSections {
		text, err := p.client.Info(ctx, section).Result()
		if err != nil {
			p.infoErr = err
			return
		}
		for name, value := range parseInfo(text) {
			p.info[name] = value
		}
	}
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

// forEach checks each server. The finding is that of the worst one, with the details
// of all that are as bad.
func (c *checker) forEach(check func(*part) Finding) Finding {
	if len(c.parts) == 0 {
		return Finding{Result: Unknown, Detail: "no server is known"}
	}
	var worst Finding
	var details []string           // that differ
	names := map[string][]string{} // of the servers, by the detail
	for i := range c.parts {
		f := check(&c.parts[i])
		if i == 0 || f.Result.weight() > worst.Result.weight() {
			worst, details = f, nil
			clear(names)
		}
		if f.Result == worst.Result {
			if names[f.Detail] == nil {
				details = append(details, f.Detail)
			}
			names[f.Detail] = append(names[f.Detail], c.parts[i].name)
		}
	}
	if len(names[worst.Detail]) == len(c.parts) {
		return worst
	}
	for i, detail := range details {
		details[i] = strings.Join(names[detail], ", ") + ": " + detail
	}
	worst.Detail = strings.Join(details, "; ")
	return worst
}

// fromInfo is forEach for checks that need INFO.
func (c *checker) fromInfo(check func(*part) Finding) Finding {
	return c.forEach(func(p *part) Finding {
		if p.infoErr != nil {
			return Finding{Result: Unknown, Detail: "INFO: " + p.infoErr.Error()}
		}
		return check(p)
	})
}

func round(d time.Duration) time.Duration {
	switch {
	case d.Abs() >= time.Minute:
		return d.Round(time.Second)
	case d.Abs() >= time.Second:
		return d.Round(100 * time.Millisecond)
	case d.Abs() >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	default:
		return d.Round(time.Microsecond)
	}
}
