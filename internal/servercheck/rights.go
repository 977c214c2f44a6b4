package servercheck

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisstore"
)

// where says how a registry calls a command.
type where int

const (
	inScripts where = 1 << iota
	directly
)

// probe is a call of a command of the documented rule. With a key it is the first
// argument.
type probe struct {
	command string
	where   where
	key     string
	args    []any
}

func soon() int64 { return time.Now().Add(time.Minute).UnixMilli() }

// probes are calls of each command, those that make a key first. The keys are removed
// by the last calls, each in two ways, as the user may have the right to one only.
func (c *checker) probes(tag string) []probe {
	channel := c.key(tag, "channel")
	all := []probe{
		{"PING", directly, "", nil},
		{"INFO", directly, "", []any{"server"}},
		{"UNSUBSCRIBE", directly, "", []any{channel}},
		{"TIME", inScripts | directly, "", nil},
		{"PUBLISH", inScripts, "", []any{channel, "x"}},
		{"HSET", inScripts, "h", []any{"f", "v"}},
		{"PEXPIREAT", inScripts, "h", []any{soon()}},
		{"ZADD", inScripts, "z", []any{1, "m"}},
		{"PEXPIREAT", inScripts, "z", []any{soon()}},
		{"SET", inScripts | directly, "s", []any{"v", "PX", time.Minute.Milliseconds()}},
		{"GET", inScripts | directly, "s", nil},
		{"GETEX", inScripts | directly, "s", []any{"PX", time.Minute.Milliseconds()}},
		{"PTTL", inScripts, "h", nil},
		{"HGET", inScripts | directly, "h", []any{"f"}},
		{"HMGET", inScripts, "h", []any{"f"}},
		{"HGETALL", inScripts, "h", nil},
		{"HLEN", inScripts, "h", nil},
		{"ZSCORE", inScripts | directly, "z", []any{"m"}},
		{"ZCOUNT", inScripts | directly, "z", []any{0, 1}},
		{"ZRANGE", inScripts | directly, "z", []any{0, 0}},
		{"ZRANGEBYSCORE", inScripts, "z", []any{2, 2}},
		{"ZREVRANGEBYSCORE", inScripts, "z", []any{2, 2}},
		{"ZREMRANGEBYSCORE", inScripts, "z", []any{2, 2}},
		{"HDEL", inScripts, "h", []any{"f"}},
		{"ZREM", inScripts, "z", []any{"m"}},
		{"DEL", inScripts, "h", nil},
		{"DEL", inScripts, "z", nil},
		{"DEL", inScripts, "s", nil},
	}
	rule := strings.Fields(redisstore.ACLRule)
	return slices.DeleteFunc(all, func(p probe) bool { return !slices.Contains(rule, p.right()) })
}

func (p probe) right() string { return "+" + strings.ToLower(p.command) }

// probeScript calls one command. Its reply is the error's text, or "".
const probeScript = `
local reply = redis.pcall(unpack(ARGV))
if type(reply) == 'table' and reply.err then return reply.err end
return ''`

// keyProbeScript is probeScript for a command whose first argument is the declared key.
const keyProbeScript = `
local args = {ARGV[1], KEYS[1]}
for i = 2, #ARGV do args[#args + 1] = ARGV[i] end
local reply = redis.pcall(unpack(args))
if type(reply) == 'table' and reply.err then return reply.err end
return ''`

// optional are rights without which a registry works, with the loss that the check of
// the same subject names.
var optional = []string{"+info", "+subscribe", "+unsubscribe", "+ping"}

// refused are the calls that a server refused: rights by name, and commands that it
// does not know or does not permit to any user.
type refused struct {
	rights   []string
	commands []string
	reason   string // of the first
}

func (r *refused) note(c *checker, p probe, text string) {
	text = strings.TrimPrefix(text, "-")
	word, _, _ := refusalOf(text)
	switch {
	case text == "" || word != "" || strings.HasPrefix(text, "NOSCRIPT"):
		return
	case rightMissing(text):
		r.add(&r.rights, text, c.rightsFor(text, p.right())...)
	default:
		r.add(&r.commands, text, p.command)
	}
}

func (r *refused) add(list *[]string, reason string, names ...string) {
	for _, name := range names {
		if !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
	}
	if r.reason == "" {
		r.reason = reason
	}
}

// probePart makes all calls to one server.
func (c *checker) probePart(ctx context.Context, p *part) (refused, error) {
	type sent struct {
		probe
		cmd *redis.Cmd
	}
	var out refused
	var calls []sent
	// One after the other: a server may end the connection of a pipeline at an error.
	for _, probe := range c.probes(p.tag) {
		if probe.where&directly != 0 || !c.scripts {
			calls = append(calls, sent{probe, p.client.Do(ctx, probe.words(c, p.tag)...)})
		}
		if probe.where&inScripts != 0 && c.scripts {
			calls = append(calls, sent{probe, c.inScript(ctx, p, probe)})
		}
	}
	// The keys that are no service's.
	for _, name := range []string{"names", "ids:0"} {
		if c.scripts && !c.cluster {
			calls = append(calls, sent{probe{command: "EVAL"}, c.Client.Eval(ctx, "return ''", []string{c.Prefix + name})})
		}
	}
	for _, call := range calls {
		text := ""
		switch err := call.cmd.Err(); {
		case err == nil:
			if call.cmd.Args()[0] == "eval" {
				text, _ = call.cmd.Text()
			}
		case err == redis.Nil:
		case !isReply(err):
			return out, fmt.Errorf("%s: %w", call.command, err)
		default:
			text = err.Error()
		}
		out.note(c, call.probe, text)
	}
	return out, nil
}

func (p probe) words(c *checker, tag string) []any {
	words := []any{p.command}
	if p.key != "" {
		words = append(words, c.key(tag, p.key))
	}
	return append(words, p.args...)
}

func (c *checker) inScript(ctx context.Context, at *part, p probe) *redis.Cmd {
	args := append([]any{p.command}, p.args...)
	if p.key == "" {
		return c.Client.Eval(ctx, probeScript, []string{c.key(at.tag, "none")}, args...)
	}
	return c.Client.Eval(ctx, keyProbeScript, []string{c.key(at.tag, p.key)}, args...)
}

// checkRights names each right of the documented rule that the user lacks.
func (c *checker) checkRights(ctx context.Context) Finding {
	var all []string
	f := c.forEach(func(p *part) Finding {
		out, err := c.probePart(ctx, p)
		p.refused = out
		missing := out.rights
		for right, text := range c.subscribeRefused(ctx, p) {
			if !slices.Contains(missing, right) {
				missing = append(missing, right)
				out.reason = text
			}
		}
		switch {
		case err != nil:
			return Finding{Result: Unknown, Detail: err.Error()}
		case len(missing) == 0:
			return Finding{Result: Passed}
		}
		for _, right := range missing {
			if !slices.Contains(all, right) {
				all = append(all, right)
			}
		}
		f := Finding{Result: Limited, Detail: strings.Join(missing, " ") + " missing (" + out.reason + ")",
			Why: "a registry works without them, with what the checks of the same subject say"}
		if slices.ContainsFunc(missing, func(right string) bool { return !slices.Contains(optional, right) }) {
			f.Result, f.Why = Failed, "the scripts need them; a user that only reads may lack those that write (docs/operating.md, \"Access\")"
		}
		return f
	})
	if len(all) > 0 {
		f.Remedy = c.grant(strings.Join(all, " "))
	}
	return f
}

// subscribeRefused returns the rights that a subscription lacks, with the error.
func (c *checker) subscribeRefused(ctx context.Context, p *part) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, messageTimeout)
	defer cancel()
	sub := p.client.Subscribe(ctx, c.key(p.tag, "channel"))
	defer sub.Close()
	_, err := sub.Receive(ctx)
	if err == nil || !rightMissing(err.Error()) {
		return nil
	}
	return map[string]string{c.rightsFor(err.Error(), "+subscribe")[0]: err.Error()}
}

// checkCommands names each command that the server refuses to every user: one that is
// renamed, disabled, or not permitted by a service. The calls are those of checkRights.
func (c *checker) checkCommands(context.Context) Finding {
	return c.forEach(func(p *part) Finding {
		if len(p.refused.commands) == 0 {
			return Finding{Result: Passed}
		}
		return Finding{Result: Failed, Detail: strings.Join(p.refused.commands, " ") + " refused (" + p.refused.reason + ")",
			Remedy: "remove rename-command for them, or have the service permit them",
			Why:    "a registry sends them, or its scripts call them, by these names"}
	})
}

// rightMissing reports whether the server says that the user has no right to a command,
// a key or a channel. In scripts each version words it differently.
func rightMissing(text string) bool {
	return strings.HasPrefix(strings.TrimPrefix(text, "-"), "NOPERM") || strings.Contains(text, "The user executing the script can't") ||
		strings.Contains(text, "ACL failure in script")
}

// commandMissing reports whether the server says that it has no such command.
func commandMissing(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "unknown command") || strings.Contains(text, "unknown redis command") || strings.Contains(text, "not allowed")
}

// rightsFor returns what an error says is missing: the pattern of the namespace's keys
// or channels, or else commands.
func (c *checker) rightsFor(text string, commands ...string) []string {
	switch {
	case !rightMissing(text):
		return commands
	case strings.Contains(text, "channel"):
		return []string{"&" + c.Prefix + "*"}
	case strings.Contains(text, "key"):
		return []string{"~" + c.Prefix + "*"}
	}
	return commands
}

// grant returns the command that gives the user rights.
func (c *checker) grant(rights string) string {
	user := c.User
	if user == "" {
		user = "default"
	}
	command := "ACL SETUSER " + user + " " + rights
	if c.cluster {
		command += " (on every node)"
	}
	return command
}

// grantFor returns the command that gives the user what an error says is missing.
func (c *checker) grantFor(text string, commands ...string) string {
	if !rightMissing(text) {
		return "have the server or the service permit " + strings.ToUpper(strings.ReplaceAll(strings.Join(commands, " "), "+", ""))
	}
	return c.grant(strings.Join(c.rightsFor(text, commands...), " "))
}
