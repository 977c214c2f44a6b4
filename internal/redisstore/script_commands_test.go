package redisstore

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// allowedCommands are the commands and options, as Redis 6.2 and Valkey 7.2 have them,
// that scripts may use. Newer ones, such as the options of PEXPIREAT, are not here.
var allowedCommands = map[string][]string{
	"DEL":              nil,
	"HDEL":             nil,
	"HGET":             nil,
	"HGETALL":          nil,
	"HLEN":             nil,
	"HMGET":            nil,
	"HSET":             nil,
	"PEXPIREAT":        nil,
	"PTTL":             nil,
	"PUBLISH":          nil,
	"TIME":             nil,
	"ZADD":             {"XX", "NX", "CH", "GT", "LT"},
	"ZRANGE":           {"WITHSCORES", "REV", "BYSCORE", "LIMIT"},
	"ZRANGEBYSCORE":    {"WITHSCORES", "LIMIT"},
	"ZREM":             nil,
	"ZREMRANGEBYSCORE": nil,
	"ZREVRANGEBYSCORE": {"WITHSCORES", "LIMIT"},
	"ZSCORE":           nil,
}

var (
	calls   = regexp.MustCompile(`redis\.p?call\('(\w+)'`)
	words   = regexp.MustCompile(`'([A-Z]{2,})'`)
	anyCall = regexp.MustCompile(`\b(redis|server)\s*[.\[]`)
)

// usedCommands returns the commands that the scripts call, with the options of each.
func usedCommands(t *testing.T) map[string][]string {
	t.Helper()
	files, err := sources.ReadDir("lua")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, f := range files {
		text, err := sources.ReadFile("lua/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			line, _, _ = strings.Cut(line, "--")
			if n := len(anyCall.FindAllString(line, -1)); n != len(calls.FindAllString(line, -1)) {
				t.Errorf("%s:%d: scripts reach the server by redis.call('COMMAND', ...) only: %s", f.Name(), i+1, line)
			}
			at := calls.FindAllStringSubmatchIndex(line, -1)
			for j, m := range at {
				end := len(line)
				if j+1 < len(at) {
					end = at[j+1][0]
				}
				command := line[m[2]:m[3]]
				if _, ok := out[command]; !ok {
					out[command] = nil
				}
				for _, w := range words.FindAllStringSubmatch(line[m[3]+1:end], -1) {
					out[command] = append(out[command], w[1])
				}
			}
		}
	}
	return out
}

func TestScriptsUseOnlyWhatRedis62AndValkeyHave(t *testing.T) {
	for command, options := range usedCommands(t) {
		has, ok := allowedCommands[command]
		if !ok {
			t.Errorf("%s is not on the list", command)
		}
		for _, o := range options {
			if !slices.Contains(has, o) {
				t.Errorf("%s %s is not on the list", command, o)
			}
		}
	}
}

// sentCommands are the commands that this package sends in addition to those of its scripts.
var sentCommands = []string{"EVAL", "EVALSHA", "HGET", "INFO", "PING", "SELECT", "SUBSCRIBE", "TIME", "UNSUBSCRIBE", "ZCOUNT", "ZRANGE", "ZSCORE"}

func TestACLRuleIsExact(t *testing.T) {
	var granted []string
	for _, word := range strings.Fields(ACLRule) {
		if c, ok := strings.CutPrefix(word, "+"); ok {
			granted = append(granted, strings.ToUpper(c))
		}
	}
	needed := slices.Clone(sentCommands)
	for command := range usedCommands(t) {
		needed = append(needed, command)
	}
	slices.Sort(needed)
	needed = slices.Compact(needed)
	slices.Sort(granted)
	if !slices.Equal(granted, needed) {
		t.Errorf("the rule grants\n%v\nand needed are\n%v", granted, needed)
	}
}
