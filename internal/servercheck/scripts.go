package servercheck

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

const echoScript = "return ARGV[1]"

// checkScripts runs a script that needs no other right, by its text and by its hash.
func (c *checker) checkScripts(ctx context.Context) Finding {
	f := c.forEach(func(p *part) Finding {
		key := []string{c.key(p.tag, "none")}
		script := redis.NewScript(echoScript)
		got, err := script.Eval(ctx, c.Client, key, "x").Text()
		command, rights := "EVAL", []string{"+eval", "+evalsha"}
		if err == nil {
			command, rights = "EVALSHA", rights[1:]
			got, err = script.EvalSha(ctx, c.Client, key, "x").Text()
		}
		const why = "all reads and writes of a registry are scripts"
		switch {
		case err != nil && !isReply(err):
			return Finding{Result: Unknown, Detail: command + ": " + err.Error()}
		case redis.HasErrorPrefix(err, "NOSCRIPT"):
			return Finding{Result: Limited, Detail: "EVALSHA does not know the script that was just sent: " + err.Error(),
				Remedy: "have a proxy send a script and its hash to the same server, and keep what it has sent",
				Why:    "every call is sent twice: by its hash, and then with the text of the script"}
		case err != nil:
			f := Finding{Result: Failed, Detail: command + ": " + err.Error(), Remedy: c.grantFor(err.Error(), rights...), Why: why}
			if word, remedy, cause := refusalOf(err.Error()); word != "" {
				f.Remedy, f.Why = remedy, cause
			} else if !rightMissing(err.Error()) {
				f.Remedy += "; some servers have to be started with scripts switched on (Garnet: --lua --lua-transaction-mode)"
			}
			return f
		case got != "x":
			return Finding{Result: Failed, Detail: fmt.Sprintf("a script returned %q in place of its argument", got), Why: why,
				Remedy: "use a server, or a proxy, that runs scripts as Redis does"}
		}
		return Finding{Result: Passed}
	})
	c.scripts = f.Result == Passed || f.Result == Limited
	return f
}

// noScripts is the finding of checks that need scripts.
var noScripts = Finding{Result: Unknown, Detail: "not checked, because scripts do not run"}

// checkTwoSlots runs a script whose keys are in two slots.
func (c *checker) checkTwoSlots(ctx context.Context) Finding {
	if !c.scripts {
		return noScripts
	}
	err := c.Client.Eval(ctx, "return 1", []string{c.key(firstSlot, "none"), c.key(lastSlot, "none")}).Err()
	switch {
	case err == nil:
		return Finding{Result: Passed}
	case redis.HasErrorPrefix(err, "CROSSSLOT") && c.cluster:
		return Finding{Result: Passed, Detail: "refused, as on every Cluster"}
	case redis.HasErrorPrefix(err, "CROSSSLOT"):
		return Finding{Result: Limited, Detail: "refused, so one slot per script is used, with the limits of a Cluster: " + err.Error(),
			Remedy: "nothing, if this is what you chose; otherwise use the OSS Cluster API and a redis+cluster:// URL, or a server with one shard",
			Why:    "some calls take more round trips (docs/operating.md, \"Sharded behind one address\")"}
	}
	return Finding{Result: Unknown, Detail: err.Error()}
}

// checkUndeclaredKeys runs a script that reads a key that it does not declare, in the
// slot of the one that it declares.
func (c *checker) checkUndeclaredKeys(ctx context.Context) Finding {
	if !c.scripts {
		return noScripts
	}
	err := c.Client.Eval(ctx, "return redis.call('HLEN', ARGV[1])", []string{c.key(firstSlot, "declared")}, c.key(firstSlot, "other")).Err()
	switch {
	case err == nil:
		return Finding{Result: Passed}
	case !isReply(err) || rightMissing(err.Error()) || commandMissing(err.Error()):
		return Finding{Result: Unknown, Detail: err.Error()}
	}
	return Finding{Result: Limited, Detail: "refused, so one slot per script is used, with all keys declared: " + err.Error(),
		Remedy: "nothing, if the service demands it; Dragonfly permits them with --default_lua_flags=allow-undeclared-keys",
		Why:    "some calls take more round trips (docs/operating.md, \"Sharded behind one address\")"}
}

// checkScriptLoad is for people who look for the reason of something else: EVAL sends
// what a server does not know.
func (c *checker) checkScriptLoad(ctx context.Context) Finding {
	const unused = "not used: scripts are sent with EVAL"
	if len(c.parts) == 0 {
		return unknown("", "no server is known")
	}
	if err := c.parts[0].client.ScriptLoad(ctx, echoScript).Err(); err != nil {
		return Finding{Result: Passed, Detail: "refused, and " + unused + " (" + err.Error() + ")"}
	}
	return Finding{Result: Passed, Detail: unused}
}
