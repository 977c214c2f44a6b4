package servercheck

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/shardproxy"
)

// want is a finding. The texts are parts of those that people see.
type want struct {
	check          string
	result         Result
	detail, remedy string
}

func (w want) verify(t *testing.T, report Report) {
	t.Helper()
	f := find(t, report, w.check)
	if f.Result != w.result || !strings.Contains(f.Detail, w.detail) || !strings.Contains(f.Remedy, w.remedy) {
		t.Errorf("%s: found\n%+v\nwant %s with %q and %q in\n%s", w.check, f, w.result, w.detail, w.remedy, report)
	}
	if f.Remedy != "" && f.Why == "" {
		t.Errorf("%s says what to change and not why: %+v", w.check, f)
	}
}

// through returns a client of a server behind a proxy with a rule.
func through(t *testing.T, s *redistest.Server, rule shardproxy.Rule) *redis.Client {
	t.Helper()
	proxy, err := shardproxy.StartWith(s.Addr(), rule)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	return clientOf(t, proxy.Addr())
}

func clientOf(t *testing.T, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true, Protocol: 2, MaxRetries: -1})
	t.Cleanup(func() { c.Close() })
	return c
}

// refusing refuses requests that begin with one of these, of one word or more.
func refusing(message string, commands ...string) shardproxy.Rule {
	return func(request []string) []string {
		for _, command := range commands {
			words := strings.Fields(command)
			if len(request) >= len(words) && strings.EqualFold(strings.Join(request[:len(words)], " "), command) {
				return shardproxy.Refusal(message)
			}
		}
		return request
	}
}

// inAllScripts has scripts call f in place of redis.call and redis.pcall for a command. f
// is a function of Lua that returns what the command would.
func inAllScripts(command, f string) shardproxy.Rule {
	prelude := fmt.Sprintf(`local original, f = redis, %s
local redis = setmetatable({}, {__index = original})
redis.pcall = function(c, ...) if string.upper(c) == '%s' then return f(...) end return original.pcall(c, ...) end
redis.call = function(c, ...) local r = redis.pcall(c, ...) if type(r) == 'table' and r.err then error(r.err) end return r end
`, f, command)
	return func(request []string) []string {
		if !strings.EqualFold(request[0], "EVAL") {
			return request
		}
		request = slices.Clone(request)
		request[1] = prelude + request[1]
		if request[2] != "0" && strings.HasSuffix(request[1], echoScript) { // is sent by its hash later
			request[1] = echoScript
		}
		return request
	}
}

func TestRestrictionsOfAProxyAreRecognised(t *testing.T) {
	s := redistest.Start(t)
	hour := func(sign string) shardproxy.Rule {
		return func(request []string) []string {
			if strings.EqualFold(request[0], "TIME") {
				return []string{"EVAL", "local t = redis.call('TIME') return {tostring(t[1] " + sign + " 3600), t[2]}", "0"}
			}
			return request
		}
	}
	for name, c := range map[string]struct {
		rule shardproxy.Rule
		want []want
	}{
		"no scripts": {refusing("ERR unknown command 'eval', with args beginning with: ", "EVAL", "EVALSHA"), []want{
			{"scripts", Failed, "EVAL: ERR unknown command", "permit EVAL EVALSHA; some servers have to be started with scripts switched on"},
			{"writes", Passed, "", ""},
			{"messages", Unknown, "scripts do not run", ""},
			{"rights", Passed, "", ""},
		}},
		"scripts only by their text": {refusing("ERR command is not allowed: EVALSHA", "EVALSHA"), []want{
			{"scripts", Failed, "EVALSHA: ERR command is not allowed", "permit EVALSHA"},
		}},
		"scripts are forgotten": {refusing("NOSCRIPT No matching script. Please use EVAL.", "EVALSHA"), []want{
			{"scripts", Limited, "EVALSHA does not know the script", "keep what it has sent"},
			{"writes", Passed, "", ""},
			{"rights", Passed, "", ""},
		}},
		"every script is refused, as by a full disk": {refusing("MISCONF Redis is configured to save RDB snapshots", "EVAL", "EVALSHA"), []want{
			{"scripts", Failed, "EVAL: MISCONF", "free the disk"},
		}},
		"writes are refused by name": {refusing("READONLY You can't write against a read only replica.", "HSET", "DEL", "ZADD", "SET"), []want{
			{"writes", Failed, "refused: READONLY", "the primary's address"},
		}},
		"no PUBLISH outside of scripts": {refusing("ERR unknown command 'publish'", "PUBLISH"), []want{
			{"messages", Passed, "PUBLISH is refused unless a script calls it", ""},
			{"commands", Passed, "", ""},
		}},
		"no SUBSCRIBE": {refusing("ERR unknown command 'subscribe'", "SUBSCRIBE"), []want{
			{"messages", Limited, "SUBSCRIBE: ERR unknown command", "permit SUBSCRIBE"},
		}},
		"no PUBLISH in scripts": {inAllScripts("PUBLISH", "function() return {err = 'ERR Unknown Redis command called from script'} end"), []want{
			{"commands", Failed, "PUBLISH refused", "rename-command"},
			{"messages", Failed, "PUBLISH in a script", "permit PUBLISH"},
		}},
		"messages are lost": {inAllScripts("PUBLISH", "function() return 0 end"), []want{
			{"messages", Limited, "did not arrive", "delivers messages"},
		}},
		"no INFO": {refusing("ERR command is not allowed: INFO", "INFO"), []want{
			{"INFO", Limited, "not allowed: INFO", "+info"},
			{"eviction", Unknown, "INFO: ", ""},
			{"version", Unknown, "INFO: ", ""},
			{"writes", Passed, "", ""},
		}},
		"no CONFIG": {refusing("ERR unknown command 'config'", "CONFIG"), []want{
			{"persistence", Passed, `save "?"`, ""},
		}},
		"SCRIPT LOAD refused": {refusing("ERR command is not allowed: SCRIPT", "SCRIPT"), []want{
			{"SCRIPT LOAD", Passed, "refused, and not used", ""},
			{"scripts", Passed, "", ""},
		}},
		"clock ahead":  {hour("+"), []want{{"clock", Limited, "1h0m0s ahead of this machine", "synchronize both clocks"}}},
		"clock behind": {hour("-"), []want{{"clock", Limited, "1h0m0s behind this machine", "synchronize both clocks"}}},
		"a snapshot failed": {inAllScripts("HSET", "function() return {err = 'MISCONF Redis is configured to save RDB snapshots'} end"), []want{
			{"writes", Failed, "refused: MISCONF", "free the disk"},
			{"rights", Passed, "", ""},
		}},
		"a command that the service lacks": {inAllScripts("ZREVRANGEBYSCORE", "function() return {err = 'ERR Unknown Redis command called from script'} end"), []want{
			{"commands", Failed, "ZREVRANGEBYSCORE refused (ERR Unknown", "have the service permit"},
			{"writes", Passed, "", ""},
		}},
		"a command that is not permitted directly": {refusing("ERR command is not allowed: HGET", "HGET"), []want{
			{"commands", Failed, "HGET refused", "have the service permit"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			report := run(t, through(t, s, c.rule))
			for _, w := range c.want {
				w.verify(t, report)
			}
		})
	}
}

func TestSlowRepliesAreRecognised(t *testing.T) {
	proxy := faultnet.New(t, redistest.Start(t).Addr())
	proxy.Delay(faultnet.ToClient, slowReply+10*time.Millisecond)
	f := find(t, run(t, clientOf(t, proxy.Addr())), "latency")
	if f.Result == Passed || !strings.HasPrefix(f.Detail, "median ") || !strings.Contains(f.Remedy, "nearer") || f.Why == "" {
		t.Errorf("%+v", f)
	}
	for median, want := range map[time.Duration]Result{time.Millisecond: Passed, 60 * time.Millisecond: Limited, 600 * time.Millisecond: Failed} {
		if f := latency(median, median); f.Result != want {
			t.Errorf("%v: %+v", median, f)
		}
	}
}

func TestRenamedCommandsAreNamed(t *testing.T) {
	s := redistest.Start(t, redistest.WithArgs("--rename-command", "HGETALL", "", "--rename-command", "ZREM", "OTHER"))
	want{"commands", Failed, "HGETALL ZREM refused", "rename-command"}.verify(t, run(t, s.Client(t)))
}

func TestReplicaIsRecognised(t *testing.T) {
	primary := redistest.Start(t)
	report := run(t, redistest.NewReplica(t, primary).Client(t))
	want{"role", Failed, "a replica of " + primary.Addr(), "use the address of the primary (" + primary.Addr() + ")"}.verify(t, report)
	want{"writes", Failed, "READONLY", "the primary's address"}.verify(t, report)
	want{"rights", Passed, "", ""}.verify(t, report)

	report = run(t, primary.Client(t))
	want{"replicas", Limited, "1, and min-replicas-to-write is not set", "CONFIG SET min-replicas-to-write 1"}.verify(t, report)
	primary.ConfigSet("min-replicas-to-write", "1")
	want{"replicas", Passed, "1, of which", ""}.verify(t, run(t, primary.Client(t)))
}

func TestRefusedWritesAreRecognised(t *testing.T) {
	s := redistest.Start(t)
	s.ConfigSet("min-replicas-to-write", "1")
	want{"writes", Failed, "refused: NOREPLICAS", "start the replicas"}.verify(t, run(t, s.Client(t)))
	s.ConfigSet("min-replicas-to-write", "0")
	s.ConfigSet("maxmemory", "1")
	report := run(t, s.Client(t))
	want{"writes", Failed, "refused: OOM", "raise maxmemory"}.verify(t, report)
	want{"memory", Limited, "%)", "raise maxmemory"}.verify(t, report)
}

func TestEvictionPolicy(t *testing.T) {
	report := run(t, redistest.Start(t, redistest.WithMaxMemory(64<<20, "volatile-ttl")).Client(t))
	want{"eviction", Failed, "maxmemory-policy is volatile-ttl", "noeviction"}.verify(t, report)
	want{"memory", Passed, "of 64.0 MiB used", ""}.verify(t, report)
}

func TestPersistenceSaysWhatARestartLoses(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct{ aof, save, fsync, want string }{
		{"1", "", "always", "a restart loses nothing"},
		{"1", "", "everysec", "usually one second"},
		{"0", "", "?", "none: a restart loses all registrations"},
		{"0", "3600 1", "?", "the last one, or since the start, 40s ago"},
	} {
		got := persistence(map[string]string{"aof_enabled": c.aof, "rdb_last_save_time": "960"}, c.save, c.fsync, now)
		if !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
