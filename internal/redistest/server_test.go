package redistest

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/serverprogram"
)

func set(t *testing.T, s *Server, key string) {
	t.Helper()
	if err := s.Client(t).Set(t.Context(), key, "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func exists(t *testing.T, s *Server, key string) bool {
	t.Helper()
	n, err := s.Client(t).Exists(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

func TestServersAreApart(t *testing.T) {
	t.Parallel()
	a, b := Start(t), Start(t)
	set(t, a, "key")
	if exists(t, b, "key") {
		t.Fatal("two servers share their data")
	}
}

func TestURLReachesTheServer(t *testing.T) {
	t.Parallel()
	s := Start(t, WithPassword("p@ss word"))
	opts, err := redis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestRestartForgetsWithoutAppendOnly(t *testing.T) {
	t.Parallel()
	s := Start(t)
	set(t, s, "key")
	addr, pid := s.Addr(), s.PID()
	s.Restart()
	if exists(t, s, "key") {
		t.Fatal("data survived")
	}
	if s.Addr() != addr || s.PID() == pid {
		t.Fatalf("restarted as %s, process %d; was %s, process %d", s.Addr(), s.PID(), addr, pid)
	}
}

func TestRestartRemembersWithAppendOnly(t *testing.T) {
	t.Parallel()
	s := Start(t, WithAppendOnly())
	set(t, s, "key")
	s.Kill()
	s.Restart()
	if !exists(t, s, "key") {
		t.Fatal("data was lost")
	}
	s.Terminate()
	s.Restart()
	if !exists(t, s, "key") {
		t.Fatal("data was lost")
	}
}

func TestFrozenServerAnswersOnlyOnceThawed(t *testing.T) {
	t.Parallel()
	s := Start(t)
	client := s.Client(t)
	s.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := client.Ping(ctx).Err(); !errors.Is(err, context.DeadlineExceeded) && !os.IsTimeout(err) {
		t.Fatalf("a frozen server answered: %v", err)
	}
	s.Thaw()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestFrozenServerIsKilledAndRestarted(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Freeze()
	s.Restart()
	set(t, s, "key")
	s.Freeze() // and left so: the cleanup must cope
}

func TestCutSubscriptionsCutsNothingElse(t *testing.T) {
	t.Parallel()
	s := Start(t)
	id := func(c *redis.Conn) int64 {
		t.Helper()
		n, err := c.ClientID(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	client := s.Client(t)
	conn := client.Conn()
	defer conn.Close()
	before := id(conn)
	sub := client.Subscribe(t.Context(), "channel")
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.CutSubscriptions()
	if _, err := sub.Receive(t.Context()); err == nil {
		t.Fatal("the subscription was not cut")
	}
	if after := id(conn); after != before {
		t.Fatalf("connection %d became %d", before, after)
	}
	s.CutAll()
	if err := conn.ClientID(t.Context()).Err(); err == nil {
		t.Fatal("the connection was not cut")
	}
}

func TestMaxMemoryAndConfigSet(t *testing.T) {
	t.Parallel()
	s := Start(t, WithMaxMemory(8<<20, "noeviction"), WithArgs("--hz", "50"))
	client := s.Client(t)
	for name, want := range map[string]string{"maxmemory": "8388608", "maxmemory-policy": "noeviction", "hz": "50"} {
		got, err := client.ConfigGet(t.Context(), name).Result()
		if err != nil || got[name] != want {
			t.Fatalf("%s is %q, %v; want %q", name, got[name], err, want)
		}
	}
	s.ConfigSet("maxmemory", "1")
	if err := client.Set(t.Context(), "key", "value", 0).Err(); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Fatalf("a write beyond maxmemory gave %v", err)
	}
}

func TestACLFile(t *testing.T) {
	t.Parallel()
	s := Start(t, WithACLFile("user reader on >secret ~* +get +ping"))
	set(t, s, "key")
	client := redis.NewClient(&redis.Options{Addr: s.Addr(), Username: "reader", Password: "secret"})
	defer client.Close()
	if err := client.Get(t.Context(), "key").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "key", "other", 0).Err(); err == nil {
		t.Fatal("a reader could write")
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s := Start(t, WithTLS())
	set(t, s, "key")
	if !strings.HasPrefix(s.URL(), "rediss://") {
		t.Fatalf("URL is %s", s.URL())
	}
	plain := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1})
	defer plain.Close()
	if err := plain.Ping(t.Context()).Err(); err == nil {
		t.Fatal("the server answered without TLS")
	}
}

func TestStartSaysWhyItFailed(t *testing.T) {
	t.Parallel()
	if _, err := start(WithArgs("--appendfsync", "nonsense")); err == nil || !strings.Contains(err.Error(), "appendfsync") {
		t.Fatalf("what the server printed is missing from: %v", err)
	}
	if _, err := start(WithACLFile("user broken nonsense")); err == nil || !strings.Contains(err.Error(), "ACL errors") {
		t.Fatalf("the log's end is missing from: %v", err)
	}
}

func TestMissingServerNamesTheRemedy(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv(serverprogram.Env, "")
	if _, err := start(); err == nil || !strings.Contains(err.Error(), "make setup") {
		t.Fatalf("the remedy is missing from: %v", err)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	var dir string
	var p *process
	t.Run("inner", func(t *testing.T) {
		s := Start(t)
		dir, p = s.Dir(), s.current()
	})
	if !p.gone() {
		t.Fatal("the server still runs")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Fatalf("%s is still there: %v", dir, err)
	}
}
