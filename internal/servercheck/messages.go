package servercheck

import (
	"context"
	"time"
)

// messageTimeout is how long a published message may take.
const messageTimeout = 2 * time.Second

// checkMessages waits for a message that a script publishes, as changes are. On a
// Cluster the script runs on another node than the subscription.
func (c *checker) checkMessages(ctx context.Context) Finding {
	if len(c.parts) == 0 {
		return unknown("", "no server is known")
	}
	ctx, cancel := context.WithTimeout(ctx, messageTimeout)
	defer cancel()
	missing := func(detail, remedy string) Finding {
		return Finding{Result: Limited, Detail: detail, Remedy: remedy,
			Why: "without messages changes are seen once per heartbeat only"}
	}
	channel := c.key(c.parts[0].tag, "channel")
	sub := c.Client.Subscribe(ctx, channel)
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		return missing("SUBSCRIBE: "+err.Error(), c.grantFor(err.Error(), "+subscribe", "+unsubscribe"))
	}
	if !c.scripts {
		return noScripts
	}
	key := []string{c.key(c.parts[len(c.parts)-1].tag, "none")}
	if err := c.Client.Eval(ctx, "return redis.call('PUBLISH', ARGV[1], 'x')", key, channel).Err(); err != nil {
		f := missing("PUBLISH in a script: "+err.Error(), c.grantFor(err.Error(), "+publish"))
		f.Result, f.Why = Failed, "every write publishes the change, and fails without the right"
		return f
	}
	if _, err := sub.ReceiveMessage(ctx); err != nil {
		return missing("a published message did not arrive: "+err.Error(), "use a server, or a proxy, that delivers messages that scripts publish")
	}
	if err := c.parts[0].client.Publish(ctx, channel, "x").Err(); err != nil {
		return Finding{Result: Passed, Detail: "PUBLISH is refused unless a script calls it, as a registry does: " + err.Error()}
	}
	return Finding{Result: Passed}
}
