package shardproxy_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/shardproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client returns a client through a proxy with its rules, and one of the server itself.
func client(t *testing.T) (through, direct *redis.Client) {
	t.Helper()
	server := redistest.Start(t, redistest.WithShardProxy())
	through = redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2, MaxRetries: -1, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
	t.Cleanup(func() { through.Close() })
	return through, server.Client(t)
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestSlotIsThatOfRedisCluster(t *testing.T) {
	server := redistest.Start(t, redistest.WithArgs("--cluster-enabled", "yes")).Client(t)
	for _, key := range []string{"", "a", "123456789", "{a}b", "b{a}", "{}a", "{a", "a}", "x{{a}}y", "{a}{b}", "名前"} {
		want, err := server.ClusterKeySlot(soon(t), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if got := shardproxy.Slot(key); int64(got) != want {
			t.Errorf("Slot(%q) is %d, in Redis %d", key, got, want)
		}
	}
}

func TestKeysInTwoSlotsAreRefused(t *testing.T) {
	c, _ := client(t)
	ctx := soon(t)
	for _, args := range [][]any{
		{"EVAL", "return 1", 2, "{a}", "{b}"},
		{"EVAL", "return 1", 3, "{a}1", "{a}2", "{b}"},
		{"MGET", "{a}", "{b}"},
		{"DEL", "{a}", "{b}"},
		{"MSET", "{a}", "1", "{b}", "2"},
	} {
		if err := c.Do(ctx, args...).Err(); !redis.HasErrorPrefix(err, "CROSSSLOT") {
			t.Errorf("%v: %v, want CROSSSLOT", args, err)
		}
	}
	for _, args := range [][]any{{"EVAL", "return 1", 2, "{a}1", "{a}2"}, {"MSET", "{a}1", "{b}", "{a}2", "{c}"}, {"MGET", "{a}1", "{a}2"}} {
		if err := c.Do(ctx, args...).Err(); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestUndeclaredKeysAreRefused(t *testing.T) {
	c, direct := client(t)
	ctx := soon(t)
	for _, text := range []string{
		"return redis.call('HGET', 'other', 'f')",
		"return redis.call('hset', KEYS[1] .. 'x', 'f', 1)",
		"return redis.call('DEL', KEYS[1], 'other')",
		"return redis.pcall('GET', ARGV[1])",
	} {
		if err := c.Eval(ctx, text, []string{"key"}, "arg").Err(); err == nil || !strings.Contains(err.Error(), "undeclared key") {
			t.Errorf("%s: %v, want an error", text, err)
		}
	}
	text := "redis.call('HSET', KEYS[1], 'f', ARGV[1]) redis.call('PUBLISH', 'c', 'm') redis.call('TIME') return redis.call('HGET', KEYS[1], 'f')"
	if got, err := c.Eval(ctx, text, []string{"key"}, "arg").Text(); err != nil || got != "arg" {
		t.Errorf("a script that declares its key: %q, %v", got, err)
	}
	if keys, err := direct.Keys(ctx, "*").Result(); err != nil || !slices.Equal(keys, []string{"key"}) {
		t.Errorf("the server has the keys %q, %v", keys, err)
	}
}

func TestErrorsOfScriptsStay(t *testing.T) {
	c, _ := client(t)
	ctx := soon(t)
	if err := c.Set(ctx, "key", "text", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"return redis.call('HGET', KEYS[1], 'f')", "return redis.pcall('HGET', KEYS[1], 'f')"} {
		if err := c.Eval(ctx, text, []string{"key"}).Err(); !redis.HasErrorPrefix(err, "WRONGTYPE") {
			t.Errorf("%s: %v, want WRONGTYPE", text, err)
		}
	}
}

// The server may know the text of a script from elsewhere: then its keys would not be checked.
func TestScriptsAreKnownByTheirHashOnceSent(t *testing.T) {
	c, direct := client(t)
	ctx := soon(t)
	const text = "return redis.call('GET', KEYS[1])"
	sha, err := direct.ScriptLoad(ctx, text).Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.EvalSha(ctx, sha, []string{"key"}).Err(); !redis.HasErrorPrefix(err, "NOSCRIPT") {
		t.Errorf("before it was sent: %v, want NOSCRIPT", err)
	}
	if err := c.Eval(ctx, text, []string{"key"}).Err(); err != redis.Nil {
		t.Errorf("the text: %v", err)
	}
	if err := c.EvalSha(ctx, sha, []string{"key"}).Err(); err != redis.Nil {
		t.Errorf("the hash: %v", err)
	}
	if err := direct.ScriptFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.EvalSha(ctx, sha, []string{"key"}).Err(); !redis.HasErrorPrefix(err, "NOSCRIPT") {
		t.Errorf("after SCRIPT FLUSH: %v, want NOSCRIPT", err)
	}
	if err := c.Eval(ctx, text, nil).Err(); err == nil {
		t.Error("a script without keys was accepted")
	}
}

func TestCommandsOfClustersAndDatabasesAreRefused(t *testing.T) {
	c, _ := client(t)
	ctx := soon(t)
	for _, args := range [][]any{{"CLUSTER", "SLOTS"}, {"cluster", "info"}, {"SELECT", 0}, {"ASKING"}, {"READONLY"}} {
		if err := c.Do(ctx, args...).Err(); err == nil || !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("%v: %v, want a refusal", args, err)
		}
	}
}

func TestReplyOrderInAPipelineOverManySlots(t *testing.T) {
	c, _ := client(t)
	ctx := soon(t)
	pipe := c.Pipeline()
	a := pipe.Set(ctx, "{a}", "1", 0)
	refused := pipe.Do(ctx, "SELECT", 1)
	b := pipe.Get(ctx, "{a}")
	crossed := pipe.MGet(ctx, "{a}", "{b}")
	other := pipe.Set(ctx, "{b}", "2", 0)
	_, _ = pipe.Exec(ctx) // each command has its own error
	if a.Err() != nil || other.Err() != nil || b.Val() != "1" {
		t.Errorf("accepted ones: %v, %v, %q, %v", a.Err(), other.Err(), b.Val(), b.Err())
	}
	if refused.Err() == nil || !redis.HasErrorPrefix(crossed.Err(), "CROSSSLOT") {
		t.Errorf("refused ones: %v, %v", refused.Err(), crossed.Err())
	}
}

func TestMessagesPass(t *testing.T) {
	c, _ := client(t)
	ctx := soon(t)
	sub := c.Subscribe(ctx, "channel")
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Eval(ctx, "return redis.call('PUBLISH', 'channel', ARGV[1])", []string{"key"}, "hello").Err(); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.ReceiveMessage(ctx); err != nil || m.Payload != "hello" {
		t.Errorf("received %v, %v", m, err)
	}
}

func TestAnyShardAnswersInfo(t *testing.T) {
	c, _ := client(t)
	one, two := c.Info(soon(t), "server").Val(), c.Info(soon(t), "server").Val()
	if !strings.Contains(one, "run_id:") || one == two {
		t.Errorf("INFO server answers\n%s\nand then\n%s", one, two)
	}
}
