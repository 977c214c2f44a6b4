package servercheck

import (
	"context"
	"strings"
)

// refusals say what to do about servers that refuse writes, by the error's first word.
var refusals = []struct{ word, remedy, why string }{
	{"MISCONF", "free the disk, or CONFIG SET stop-writes-on-bgsave-error no", "a snapshot or a write to the append-only file failed, so Redis refuses writes"},
	{"NOREPLICAS", "start the replicas, or CONFIG SET min-replicas-to-write 0", "min-replicas-to-write is set, and fewer replicas are connected"},
	{"READONLY", "use the primary's address, or a redis+sentinel:// or redis+cluster:// URL", "the server is a replica"},
	{"OOM", "raise maxmemory, or remove other data", "memory is full: heartbeats work, Register fails"},
	{"MASTERDOWN", "use the primary's address", "the server is a replica that lost its primary"},
	{"CLUSTERDOWN", "start the nodes that are missing, or assign their slots to others", "slots have no node"},
	{"MOVED", "use a redis+cluster:// URL", "the server is one node of a Cluster, and other nodes have the other slots"},
	{"LOADING", "wait until the server has read its data", "it answers nothing until then"},
	{"BUSY", "end the script that runs for too long: SCRIPT KILL", "the server answers nothing until it ends"},
}

// refusalOf returns the word by which an error says that writes are refused, or "". In
// scripts the word may follow others.
func refusalOf(text string) (word, remedy, why string) {
	for _, r := range refusals {
		for field := range strings.FieldsSeq(text) {
			if strings.Trim(field, "-:,.'\"") == r.word {
				return r.word, r.remedy, r.why
			}
		}
	}
	return "", "", ""
}

// writeScript writes a hash that expires, and removes it.
const writeScript = `
local reply = redis.pcall('HSET', KEYS[1], 'f', 'v')
if type(reply) == 'table' and reply.err then return reply.err end
redis.pcall('PEXPIREAT', KEYS[1], ARGV[1])
redis.pcall('HDEL', KEYS[1], 'f')
return ''`

// checkWrites writes with a script, as a registry does, and directly: a proxy may look
// at the names of commands only.
func (c *checker) checkWrites(ctx context.Context) Finding {
	f := c.forEach(func(p *part) Finding { return written(c.writeDirectly(ctx, p)) })
	if f.Result == Failed || !c.scripts {
		return f
	}
	return c.forEach(func(p *part) Finding {
		text, err := c.Client.Eval(ctx, writeScript, []string{c.key(p.tag, "w")}, soon()).Text()
		if err != nil {
			text = err.Error()
		}
		return written(text)
	})
}

// writeDirectly returns the error's text, or "".
func (c *checker) writeDirectly(ctx context.Context, p *part) string {
	key := c.key(p.tag, "w")
	if err := p.client.HSet(ctx, key, "f", "v").Err(); err != nil {
		return err.Error()
	}
	_ = p.client.Do(ctx, "PEXPIREAT", key, soon()) // checkRights reports what it is refused
	_ = p.client.HDel(ctx, key, "f")
	return ""
}

// written returns the finding of a write, from its error's text or "".
func written(text string) Finding {
	text = strings.TrimPrefix(text, "-")
	switch word, remedy, why := refusalOf(text); {
	case text == "":
		return Finding{Result: Passed}
	case word != "":
		return Finding{Result: Failed, Detail: "refused: " + text, Remedy: remedy, Why: why}
	case rightMissing(text) || commandMissing(text):
		return Finding{Result: Unknown, Detail: "not checked, because the user has no right to it: " + text}
	}
	return Finding{Result: Failed, Detail: text, Remedy: "find out why the server refuses HSET", Why: "nothing can be registered"}
}
