package redisstore

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// numericScores makes redis.call and redis.pcall give a script all scores as numbers.
const numericScores = `
local redis = (function(server)
  local function numbers(reply, command, ...)
    if type(reply) == 'string' and (command == 'ZSCORE' or command == 'ZADD') then return tonumber(reply) end
    if type(reply) ~= 'table' or reply.err then return reply end
    for _, option in ipairs({...}) do
      if option == 'WITHSCORES' then
        for i = 2, #reply, 2 do reply[i] = tonumber(reply[i]) end
      end
    end
    return reply
  end
  return {
    call = function(...) return numbers(server.call(...), ...) end,
    pcall = function(...) return numbers(server.pcall(...), ...) end,
  }
end)(redis)
`

// withNumericScores returns the script as a server runs it that hands scores to scripts
// as numbers.
func withNumericScores(s *script) *script {
	text := numericScores + s.text
	sum := sha1.Sum([]byte(text))
	return &script{text: text, sha: hex.EncodeToString(sum[:])}
}

// numericScoresHook replaces the scripts of a client's commands.
type numericScoresHook struct{ replacements map[string]string } // text or SHA1 -> what is sent

func newNumericScoresHook() numericScoresHook {
	h := numericScoresHook{make(map[string]string)}
	for _, s := range []*script{
		putScript, renewScript, removeScript, readScript, lookupIDsScript, readCatalogScript, clusterIndexScript,
		collectScript, eventsScript, patchOverlayScript, watcherLeaseScript, laggingWatchersScript, probeScript,
	} {
		numeric := withNumericScores(s)
		h.replacements[s.text], h.replacements[s.sha] = numeric.text, numeric.sha
	}
	h.replacements[twoSlotsScript] = twoSlotsScript // it reads no score
	return h
}

func (h numericScoresHook) replace(cmd redis.Cmder) error {
	args := cmd.Args()
	if !strings.HasPrefix(cmd.Name(), "eval") {
		return nil
	}
	replacement, ok := h.replacements[args[1].(string)]
	if !ok {
		return fmt.Errorf("add the script to newNumericScoresHook: %.60q", args[1])
	}
	args[1] = replacement
	return nil
}

func (h numericScoresHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h numericScoresHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := h.replace(cmd); err != nil {
			return err
		}
		return next(ctx, cmd)
	}
}

func (h numericScoresHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if err := h.replace(cmd); err != nil {
				return err
			}
		}
		return next(ctx, cmds)
	}
}

// openWithNumericScores is openTest on a server that hands scores to scripts as numbers.
func openWithNumericScores(t *testing.T, cfg redisclient.Config, namespace, owner string) *Store {
	t.Helper()
	client, err := redisclient.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	client.AddHook(newNumericScoresHook())
	return openOn(t, client, namespace, owner)
}

func TestRepliesAreTheSameWithScoresAsNumbers(t *testing.T) {
	r := newHarness(t)
	r.put(r.store, putOf("g", "i", "1"))
	start := r.read("g", "").Rev
	r.put(r.store, putOf("g", "left", "1"), putOf("g", "j", "1"))
	if _, err := r.store.Remove(t.Context(), store.Removal{ID: "left"}); err != nil {
		t.Fatal(err)
	}
	rev := r.read("g", "").Rev
	// Another program's, and the last two that a float64 holds before it omits whole numbers.
	for id, score := range map[string]string{"inf": "+inf", "large": "9007199254740991", "larger": "9007199254740992"} {
		r.do("ZADD", r.recordKey("g", "z"), score, id)
	}
	r.do("ZADD", r.recordKey("g", "z"), "-1500000000000000.5", "fraction")

	service := []string{r.recordKey("g", "h"), r.recordKey("g", "z"), r.store.keys.catalog}
	catalog := []string{r.store.keys.catalog}
	soon := micros(r.now() + time.Hour.Microseconds())
	for name, c := range map[string]struct {
		script *script
		keys   []string
		args   []any
	}{
		"read, full":   {readScript, service, []any{"", "beta", 1, "g", "look"}},
		"read, delta":  {readScript, service, []any{start, "beta", 1, "g", "look"}},
		"read, same":   {readScript, service, []any{rev, "beta", 1, "g", "look"}},
		"read catalog": {readCatalogScript, catalog, []any{r.store.keys.prefix, "look"}},
		"lookup IDs":   {lookupIDsScript, catalog, []any{r.store.keys.prefix, packIDs([]store.Lease{{ID: "i"}, {ID: "large"}})}},
		"patch, same":  {patchOverlayScript, append(service, r.store.keys.idIndex("i")), []any{"beta", 1, "g", r.store.keys.prefix, "i", soon, "none", ""}},
		"remove none":  {removeScript, append(service, r.store.keys.idIndex("i")), []any{"beta", 2, "g", r.store.keys.prefix, "none", soon, "any", 0}},
	} {
		texts := r.call(c.script, c.keys, c.args...)
		numbers := r.call(withNumericScores(c.script), c.keys, c.args...)
		if !reflect.DeepEqual(texts[1:], numbers[1:]) { // without the time
			t.Errorf("%s: with scores as texts\n%q\nas numbers\n%q", name, texts[1:], numbers[1:])
		}
	}
}
