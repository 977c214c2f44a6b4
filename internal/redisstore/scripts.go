package redisstore

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

//go:embed lua/*.lua
var sources embed.FS

// script is one Lua script, with the files that it shares with others.
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
	putScript             = load("common", "fencing", "find_id", "put")
	renewScript           = load("common", "fencing", "renew")
	removeScript          = load("common", "fencing", "find_id", "remove")
	readScript            = load("common", "read")
	lookupIDsScript       = load("common", "find_id", "lookup_ids")
	readCatalogScript     = load("common", "find_id", "read_catalog")
	clusterIndexScript    = load("common", "cluster_index")
	eventsScript          = load("common", "events")
	collectScript         = load("common", "collect")
	patchOverlayScript    = load("common", "find_id", "patch_overlay")
	watcherLeaseScript    = load("common", "watcher_lease")
	laggingWatchersScript = load("common", "lagging_watchers")
	probeScript           = load("common", "probe")
)

// call is one script call and its reply.
type call struct {
	script *script
	keys   []string
	args   []any
	reply  []any
	err    error

	// deadlineArg, if not 0, is the index of the argument that holds the deadline. It is
	// set when the call is sent, by the clock of the node that has service, and is not
	// later than tryUntil.
	deadlineArg int
	service     string
	tryUntil    time.Time // zero: only the timeout of the request limits it
	sentTwice   bool      // and the first copy may still run
}

// sendCalls sends all calls in one round trip. A second follows for scripts that the
// server does not know, and for calls during which the connection ended: they take
// effect once, however often they are sent. The second has the text of each script
// once per node, in the first call, after which the node knows the script: a server
// that restarted is not sent a text with each of a thousand calls. Further round trips
// are for calls that reached yet another server: a slot moved, or one address leads to
// several servers.
func sendCalls(ctx context.Context, client redis.UniversalClient, calls []*call) {
	sendOnce(ctx, client, calls, func(*call) bool { return false })
	var again []*call
	for _, c := range calls {
		c.sentTwice = c.err != nil && redisclient.ConnectionLost(c.err)
		if scriptUnknown(c) || c.sentTwice && ctx.Err() == nil {
			again = append(again, c)
		}
	}
	for round := 1; len(again) > 0 && round <= maxSparingRounds+1; round++ {
		sendOnce(ctx, client, again, oncePerNode(ctx, client, round))
		again = slices.DeleteFunc(again, func(c *call) bool { return !scriptUnknown(c) })
	}
}

// maxSparingRounds is how many round trips have a script's text once per node. Each
// teaches one more server its scripts. What is still unknown then is sent with its text.
const maxSparingRounds = 8

// oncePerNode selects the first call of each script and node.
func oncePerNode(ctx context.Context, client redis.UniversalClient, round int) func(*call) bool {
	type textSent struct {
		script *script
		node   string
	}
	sent := map[textSent]bool{}
	return func(c *call) bool {
		t := textSent{c.script, redisclient.NodeOf(ctx, client, c.keys[0])}
		first := !sent[t]
		sent[t] = true
		return first || round > maxSparingRounds
	}
}

func scriptUnknown(c *call) bool { return redis.HasErrorPrefix(c.err, "NOSCRIPT") }

// evaler is what a client and a pipeline share.
type evaler interface {
	EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd
	Eval(ctx context.Context, text string, keys []string, args ...any) *redis.Cmd
}

// sendOnce sends the calls in one round trip, those for which withText is true with
// the text of their script.
func sendOnce(ctx context.Context, client redis.UniversalClient, calls []*call, withText func(*call) bool) {
	add := func(p evaler, c *call) *redis.Cmd {
		if withText(c) {
			return p.Eval(ctx, c.script.text, c.keys, c.args...)
		}
		return p.EvalSha(ctx, c.script.sha, c.keys, c.args...)
	}
	if len(calls) == 1 {
		calls[0].parseReply(add(client, calls[0]))
		return
	}
	pipe := client.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		cmds[i] = add(pipe, c)
	}
	redisclient.Exec(ctx, pipe)
	for i, c := range calls {
		c.parseReply(cmds[i])
	}
}

func (c *call) parseReply(cmd *redis.Cmd) {
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
