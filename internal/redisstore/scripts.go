package redisstore

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

//go:embed lua/*.lua
var sources embed.FS

// script is one Lua script with what it shares with the others.
type script struct{ text, sha string }

func load(files ...string) *script {
	var text strings.Builder
	for _, f := range files {
		b, err := sources.ReadFile("lua/" + f + ".lua")
		if err != nil {
			panic(err) // embedded at build time
		}
		text.Write(b)
	}
	sum := sha1.Sum([]byte(text.String()))
	return &script{text: text.String(), sha: hex.EncodeToString(sum[:])}
}

var (
	putScript     = load("common", "rule", "find", "put")
	renewScript   = load("common", "rule", "renew")
	removeScript  = load("common", "rule", "find", "remove")
	readScript    = load("common", "read")
	locateScript  = load("common", "find", "locate")
	namesScript   = load("common", "find", "names")
	catalogScript = load("common", "catalog")
	tidyScript    = load("common", "tidy")
	markScript    = load("common", "find", "mark")
	attendScript  = load("common", "attend")
	behindScript  = load("common", "behind")
	probeScript   = load("common", "probe")
)

// call is one script call on its way.
type call struct {
	script *script
	keys   []string
	args   []any
	reply  []any
	err    error

	// due, if not 0, is the argument that holds the deadline. It is set when the
	// call is sent, by the clock of the node that has group, and is not later than give.
	due   int
	group string
	give  time.Time // zero: only the request's own timeout limits it
	again bool      // it was sent twice, and the first copy may still be under way
}

// run sends all calls in one round trip; a second follows for scripts that the
// server does not know (any more), and when the connection ends.
func run(ctx context.Context, client redis.UniversalClient, calls []*call) {
	send(ctx, client, calls, func(p evaler, c *call) *redis.Cmd {
		return p.EvalSha(ctx, c.script.sha, c.keys, c.args...)
	})
	var again []*call
	for _, c := range calls {
		c.again = c.err != nil && redisclient.ConnectionLost(c.err)
		if c.err != nil && (redis.HasErrorPrefix(c.err, "NOSCRIPT") || redisclient.ConnectionLost(c.err) && ctx.Err() == nil) {
			again = append(again, c)
		}
	}
	if len(again) > 0 {
		send(ctx, client, again, func(p evaler, c *call) *redis.Cmd {
			return p.Eval(ctx, c.script.text, c.keys, c.args...)
		})
	}
}

// evaler is what a client and a pipeline have in common.
type evaler interface {
	EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd
	Eval(ctx context.Context, text string, keys []string, args ...any) *redis.Cmd
}

func send(ctx context.Context, client redis.UniversalClient, calls []*call, add func(evaler, *call) *redis.Cmd) {
	if len(calls) == 1 {
		calls[0].take(add(client, calls[0]))
		return
	}
	pipe := client.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		cmds[i] = add(pipe, c)
	}
	redisclient.Exec(ctx, pipe)
	for i, c := range calls {
		c.take(cmds[i])
	}
}

func (c *call) take(cmd *redis.Cmd) {
	c.reply, c.err = nil, cmd.Err()
	if c.err != nil {
		return
	}
	reply, ok := cmd.Val().([]any)
	if !ok || len(reply) == 0 {
		c.err = errReply
		return
	}
	c.reply = reply
}
