package servercheck

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

// messageTimeout is how long a published message may take.
const messageTimeout = 2 * time.Second

// isReply reports whether an error is the server's reply.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

func (c *checker) checkTime(ctx context.Context) Finding {
	f := Finding{Check: "TIME", Result: Passed}
	if err := c.client.Time(ctx).Err(); err != nil {
		f.Result, f.Detail, f.Remedy = Failed, err.Error(), "grant +time"
	}
	return f
}

// checkScripts runs a script that needs no other right, by its text and by its hash.
func (c *checker) checkScripts(ctx context.Context) Finding {
	f := Finding{Check: "scripts", Result: Passed}
	key := []string{c.key("a", "none")}
	script := redis.NewScript("return ARGV[1]")
	got, err := script.Eval(ctx, c.client, key, "x").Text()
	if err == nil {
		got, err = script.EvalSha(ctx, c.client, key, "x").Text()
	}
	switch {
	case err != nil:
		f.Result, f.Detail = Failed, err.Error()
		f.Remedy = "grant +eval +evalsha; some servers have to be started with scripts switched on"
	case got != "x":
		f.Result, f.Detail = Failed, fmt.Sprintf("a script returned %q in place of its argument", got)
	}
	return f
}

// checkTwoSlots runs a script whose keys are in two slots.
func (c *checker) checkTwoSlots(ctx context.Context) Finding {
	f := Finding{Check: "scripts over two slots", Result: Passed}
	err := c.client.Eval(ctx, "return 1", []string{c.key("a", "none"), c.key("b", "none")}).Err()
	switch {
	case err == nil:
	case redis.HasErrorPrefix(err, "CROSSSLOT") && redisclient.IsCluster(c.client):
		f.Detail = "refused, as on every Cluster"
	case redis.HasErrorPrefix(err, "CROSSSLOT"):
		f.Result, f.Detail = Limited, "refused, so one slot per script is used: "+err.Error()
	default:
		f.Result, f.Detail = Unknown, err.Error()
	}
	return f
}

// checkUndeclaredKeys runs a script that reads a key that it does not declare, in the
// slot of the one that it declares.
func (c *checker) checkUndeclaredKeys(ctx context.Context) Finding {
	f := Finding{Check: "scripts with undeclared keys", Result: Passed}
	err := c.client.Eval(ctx, "return redis.call('HLEN', ARGV[1])", []string{c.key("a", "declared")}, c.key("a", "other")).Err()
	switch {
	case err == nil:
	case rightMissing(err):
		f.Result, f.Detail = Unknown, err.Error()
	default:
		f.Result, f.Detail = Limited, "refused, so one slot per script is used, with all keys declared: "+err.Error()
	}
	return f
}

// checkMessages waits for a message that a script publishes, as changes are.
func (c *checker) checkMessages(ctx context.Context) Finding {
	f := Finding{Check: "messages", Result: Limited, Remedy: "grant +subscribe, +publish and the channels; without messages changes are seen once per heartbeat"}
	ctx, cancel := context.WithTimeout(ctx, messageTimeout)
	defer cancel()
	channel := c.key("a", "channel")
	sub := c.client.Subscribe(ctx, channel)
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		f.Detail = "SUBSCRIBE: " + err.Error()
		return f
	}
	if err := c.client.Eval(ctx, "return redis.call('PUBLISH', ARGV[1], 'x')", []string{c.key("a", "none")}, channel).Err(); err != nil {
		f.Detail = "PUBLISH in a script: " + err.Error()
		return f
	}
	if _, err := sub.ReceiveMessage(ctx); err != nil {
		f.Detail = "a published message did not arrive: " + err.Error()
		return f
	}
	return Finding{Check: f.Check, Result: Passed}
}
