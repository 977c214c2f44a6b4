package servercheck

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/serverprogram"
	"github.com/rollcall-sd/rollcall/internal/shardproxy"
)

const prefix = "rollcall:default:"

func run(t *testing.T, client redis.UniversalClient) Report {
	t.Helper()
	report, err := Run(t.Context(), client, prefix)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// find returns the finding of a check.
func find(t *testing.T, r Report, check string) Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("no finding of %q in\n%s", check, r)
	return Finding{}
}

func asUser(t *testing.T, s *redistest.Server, rule string) *redis.Client {
	t.Helper()
	words := []any{"ACL", "SETUSER", "app", "reset", "on", ">secret"}
	for word := range strings.FieldsSeq(rule) {
		words = append(words, word)
	}
	if err := s.Client(t).Do(t.Context(), words...).Err(); err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), Username: "app", Password: "secret", DisableIdentity: true, Protocol: 2})
	t.Cleanup(func() { c.Close() })
	return c
}

// documentedRule returns the rights that docs/operating.md gives.
func documentedRule(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile("(?s)<!-- acl: begin -->.*?>PASSWORD(.*?)```").FindStringSubmatch(string(text))
	if rule == nil {
		t.Fatal("docs/operating.md has no rule")
	}
	return rule[1]
}

func TestPlainServerPasses(t *testing.T) {
	s := redistest.Start(t)
	client := s.Client(t)
	report := run(t, client)
	for _, f := range report.Findings {
		if f.Result != Passed {
			t.Errorf("%+v", f)
		}
	}
	if want := serverprogram.Version(); report.Kind+" "+report.Version != want {
		t.Errorf("the server is taken for %s %s, not %s", report.Kind, report.Version, want)
	}
	if n := client.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

// The documented rule is enough, and each right of it that scripts need is named when
// it is missing.
func TestMissingRightsAreNamed(t *testing.T) {
	s := redistest.Start(t)
	rule := documentedRule(t)
	if report := run(t, asUser(t, s, rule)); report.Failed() || find(t, report, "messages").Result != Passed {
		t.Errorf("the documented rule is not enough:\n%s", report)
	}
	for _, probe := range probes() {
		right := strings.ToLower(probe.command)
		if !slices.Contains(strings.Fields(rule), "+"+right) {
			t.Errorf("the documented rule lacks +%s", right)
		}
		f := find(t, run(t, asUser(t, s, rule+" -"+right)), "commands in scripts")
		if f.Result != Failed || !strings.HasPrefix(f.Detail, "+"+right+" (") {
			t.Errorf("without %s: %+v", right, f)
		}
	}
	for check, rights := range map[string]string{
		"scripts": "-eval -evalsha", "TIME": "-time", "messages": "-subscribe", "INFO": "-info",
	} {
		f := find(t, run(t, asUser(t, s, rule+" "+rights)), check)
		if f.Result == Passed || f.Remedy == "" || !strings.Contains(f.Detail, "permission") && !strings.Contains(f.Detail, "can't run") {
			t.Errorf("%s: %+v", rights, f)
		}
	}
	if f := find(t, run(t, asUser(t, s, rule+" resetchannels")), "messages"); f.Result != Limited {
		t.Errorf("without channels: %+v", f)
	}
}

func TestClusterRefusesTwoSlots(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs(), Protocol: 2})
	defer client.Close()
	report := run(t, client)
	if f := find(t, report, "scripts over two slots"); f.Result != Passed || !strings.Contains(f.Detail, "Cluster") || report.Failed() {
		t.Errorf("%+v in\n%s", f, report)
	}
	// A client of one node finds what a server that shards behind one address shows.
	if f := find(t, run(t, cluster.NodeOf("a").Client(t)), "scripts over two slots"); f.Result == Passed {
		t.Errorf("%+v", f)
	}
}

// Behind one address for several shards a registry needs one slot per script, and keys
// that are declared.
func TestShardsBehindOneAddress(t *testing.T) {
	proxy, err := shardproxy.Start(redistest.Start(t).Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr(), DisableIdentity: true, Protocol: 2})
	defer client.Close()
	report := run(t, client)
	for _, check := range []string{"scripts over two slots", "scripts with undeclared keys"} {
		if f := find(t, report, check); f.Result != Limited || !strings.HasPrefix(f.Detail, "refused, so one slot") {
			t.Errorf("%+v", f)
		}
	}
	if report.Failed() {
		t.Errorf("taken for useless:\n%s", report)
	}
}

func TestEvictionPolicy(t *testing.T) {
	s := redistest.Start(t, redistest.WithMaxMemory(64<<20, "volatile-ttl"))
	report := run(t, s.Client(t))
	if f := find(t, report, "eviction"); f.Result != Limited || !strings.Contains(f.Detail, "volatile-ttl") || report.Failed() {
		t.Errorf("%+v in\n%s", f, report)
	}
}

func TestNoServer(t *testing.T) {
	s := redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1})
	defer client.Close()
	s.Kill()
	if report, err := Run(t.Context(), client, prefix); err == nil {
		t.Errorf("a server that is down gave\n%s", report)
	}
}

func TestKinds(t *testing.T) {
	for info, want := range map[string][2]string{
		"# Server\r\nredis_version:7.0.15\r\n":                                  {"Redis", "7.0.15"},
		"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n": {"Valkey", "8.0.1"},
		"redis_version:7.4.0\r\ndragonfly_version:df-v1.34.0\r\n":               {"Dragonfly", "df-v1.34.0"},
		"garnet_version:1.0.63\r\nredis_version:7.4.3\r\n":                      {"Garnet", "1.0.63"},
		"something:else\r\n": {"", ""},
	} {
		if kind, version := parseKind(info); kind != want[0] || version != want[1] {
			t.Errorf("%q: %q, %q", info, kind, version)
		}
	}
}
