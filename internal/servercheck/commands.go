package servercheck

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// probe is a command that scripts call, on one of two keys.
type probe struct {
	key, command string
	args         []any
}

// probes make their keys first, let them expire, and remove them last.
func probes() []probe {
	soon := time.Now().Add(time.Minute).UnixMilli()
	return []probe{
		{"h", "HSET", []any{"f", "v"}},
		{"h", "PEXPIREAT", []any{soon}},
		{"z", "ZADD", []any{1, "m"}},
		{"z", "PEXPIREAT", []any{soon}},
		{"h", "PTTL", nil},
		{"h", "HGET", []any{"f"}},
		{"h", "HMGET", []any{"f"}},
		{"h", "HGETALL", nil},
		{"h", "HLEN", nil},
		{"h", "HDEL", []any{"none"}},
		{"z", "ZSCORE", []any{"m"}},
		{"z", "ZCOUNT", []any{0, 1}},
		{"z", "ZRANGE", []any{0, 0}},
		{"z", "ZRANGEBYSCORE", []any{2, 2}},
		{"z", "ZREVRANGEBYSCORE", []any{2, 2}},
		{"z", "ZREMRANGEBYSCORE", []any{2, 2}},
		{"z", "ZREM", []any{"none"}},
		{"h", "DEL", nil},
		{"z", "DEL", nil},
	}
}

// probeScript calls one command on its key. Its reply is the error's text, or "".
const probeScript = `
local args = {ARGV[1], KEYS[1]}
for i = 2, #ARGV do args[#args + 1] = ARGV[i] end
local reply = redis.pcall(unpack(args))
if type(reply) == 'table' and reply.err then return reply.err end
return ''`

// rightMissing reports whether the server says that the user has no right to a command.
// In scripts each version words it differently.
func rightMissing(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || strings.Contains(err.Error(), "The user executing the script can't") ||
		strings.Contains(err.Error(), "ACL failure in script")
}

// checkCommands calls each command that scripts call, and names those that are refused.
func (c *checker) checkCommands(ctx context.Context) Finding {
	f := Finding{Check: "commands in scripts", Result: Passed}
	var missing []string
	var reason string // of the first
	for _, p := range probes() {
		args := append([]any{p.command}, p.args...)
		refused, err := c.client.Eval(ctx, probeScript, []string{c.key("a", p.key)}, args...).Text()
		if err != nil {
			refused = err.Error()
		}
		right := "+" + strings.ToLower(p.command)
		if refused == "" || slices.Contains(missing, right) {
			continue
		}
		missing = append(missing, right)
		if reason == "" {
			reason = strings.TrimPrefix(refused, "-")
		}
	}
	if len(missing) > 0 {
		f.Result, f.Detail = Failed, strings.Join(missing, " ")+" ("+reason+")"
		f.Remedy = "grant these to the user; for a user that only reads, those that write may be missing"
	}
	return f
}
