package faults

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// appRights are what a user of the library needs.
const appRights = "~rollcall:* &rollcall:* -@all +evalsha +eval +hget +time +subscribe +unsubscribe +ping " +
	"+hset +hdel +hmget +hgetall +hlen +del +zadd +zrem +zscore +zrange +zrangebyscore +zrevrangebyscore +zremrangebyscore " +
	"+pexpireat +publish +zcount"

// The user loses a right and gets it back, within the TTL and after it.
//
// Promise 1 and 3: no instance is lost after a shorter time; all are back unchanged after a longer one.
// Promise 7: a watch that lost its own right keeps the last known state, marked Stale.
func TestUserLosesARight(t *testing.T) {
	t.Parallel()
	for name, loss := range map[string]struct {
		take, give string
		away       time.Duration
	}{
		"scripts, briefly":     {"-evalsha -eval", "+evalsha +eval", shortTTL / 3},
		"scripts, past TTL":    {"-evalsha -eval", "+evalsha +eval", shortTTL + 500*time.Millisecond},
		"a command in scripts": {"-zadd", "+zadd", shortTTL + 500*time.Millisecond},
		"all keys":             {"resetkeys", "~rollcall:*", shortTTL + 500*time.Millisecond},
		"everything":           {"-@all", strings.TrimPrefix(appRights, "~rollcall:* &rollcall:* "), shortTTL + 500*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, admin, app := withUser(t)
			owner, reader := openShort(t, server, app), openShort(t, server, app)
			register(t, owner, "web", "a1", "a2")
			want := present(t, reader, "web")
			register(t, openShort(t, server), "other", "steady")
			must(t, retryStalled(t, shortHeartbeat, discovers(reader, "other", "steady")))
			seen := watch(t, reader, "web")
			seen.await(t, time.Now(), backBy, "the start", is(want))
			began := time.Now()

			setUser(t, admin, loss.take)
			taken := time.Now()
			err := owner.Register(t.Context(), service("other", "o"))
			if !errors.Is(err, registry.ErrUnavailable) || !redistest.RightMissing(err) {
				t.Fatalf("register without the right: %v", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Fatalf("the error shows the password: %v", err)
			}
			pause(t, time.Until(taken.Add(loss.away)), "the right is missing for this long")
			setUser(t, admin, loss.give)
			given := time.Now()
			figure(t, "right lost ("+name+"): back", within(t, given, backBy, "all in Discover", discoversExactly(reader, "web", want)))
			// What the refused call did in part hides nothing.
			register(t, owner, "other", "o")
			must(t, retryStalled(t, shortHeartbeat, discovers(reader, "other", "o", "steady")))
			figure(t, "right lost ("+name+"): watch current", seen.await(t, given, 2*backBy, "a current state", is(want)))
			seen.requireKept(t, began, "a1", "a2")
		})
	}
}

// Only the reader loses all rights. Its watches are disconnected.
//
// Promise 7, no false empty: Stale within one heartbeat + 1 s, and nothing is dropped.
func TestReaderLosesItsRights(t *testing.T) {
	t.Parallel()
	server, admin, app := withUser(t)
	owner, reader := openShort(t, server), openShort(t, server, app)
	register(t, owner, "web", "a1", "a2")
	want := present(t, reader, "web")
	seen := watch(t, reader, "web")
	seen.await(t, time.Now(), backBy, "the start", is(want))
	began := time.Now()
	setUser(t, admin, "-@all")
	taken := time.Now()
	figure(t, "reader's rights lost: stale shown", seen.await(t, taken, backBy, "staleness", isStale))
	if list, err := reader.Discover(t.Context(), "web"); !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("discover without a right: %s, %v", describeInstances(list), err)
	}
	pause(t, time.Until(taken.Add(shortTTL+500*time.Millisecond)), "longer than the TTL")
	register(t, owner, "web", "a3")
	setUser(t, admin, strings.TrimPrefix(appRights, "~rollcall:* &rollcall:* "))
	given := time.Now()
	figure(t, "reader's rights lost: current again", seen.await(t, given, backBy, "a current state",
		func(s registry.Snapshot) bool { return s.Stale == nil && with("a1", "a2", "a3")(s) }))
	seen.requireKept(t, began, "a1", "a2")
}

// The user loses the right to subscribe. The periodic check still finds changes.
//
// Promise 8: a watch never dies silently.
func TestUserMayNotSubscribe(t *testing.T) {
	t.Parallel()
	server, admin, app := withUser(t)
	reader, writer := openShort(t, server, app), openShort(t, server)
	seen := watch(t, reader, "web")
	began := time.Now()
	setUser(t, admin, "resetchannels")
	c := &churn{t: t, writer: writer, seen: seen}
	for n := range 6 {
		c.change(n)
	}
	figure(t, "no right to subscribe: change seen", c.worst.get())
	setUser(t, admin, "&rollcall:*")
	for n := 6; n < 12; n++ {
		c.change(n)
	}
	seen.requireKept(t, began)
}

// withUser starts a server with a user app that has only the rights it needs.
func withUser(t *testing.T, options ...redistest.Option) (*redistest.Server, *redis.Client, func(*registry.RedisRegistryConfig)) {
	t.Helper()
	server := redistest.Start(t, append(options, redistest.WithACLFile("user app on >secret "+appRights))...)
	return server, server.Client(t), func(cfg *registry.RedisRegistryConfig) {
		cfg.Username, cfg.Password = "app", "secret"
	}
}

func setUser(t testing.TB, admin *redis.Client, rules string) {
	t.Helper()
	args := []any{"ACL", "SETUSER", "app"}
	for _, r := range strings.Fields(rules) {
		args = append(args, r)
	}
	if err := admin.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("ACL SETUSER app %s: %v", rules, err)
	}
}
