package servercheck

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisstore"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/serverprogram"
	"github.com/rollcall-sd/rollcall/internal/shardproxy"
)

const prefix = "rollcall:default:"

func run(t *testing.T, client redis.UniversalClient) Report {
	t.Helper()
	return runAs(t, client, "")
}

func runAs(t *testing.T, client redis.UniversalClient, user string) Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return Run(ctx, Target{Client: client, Prefix: prefix, User: user})
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

// A figure of a busy machine is no finding about the server.
func TestPlainServerPasses(t *testing.T) {
	s := redistest.Start(t)
	client := s.Client(t)
	report := run(t, client)
	for _, f := range report.Findings {
		if f.Result != Passed && f.Check != "latency" {
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

// The documented rule is enough.
func TestDocumentedRuleIsEnough(t *testing.T) {
	s := redistest.Start(t)
	for _, f := range runAs(t, asUser(t, s, documentedRule(t)), "app").Findings {
		if f.Result != Passed && f.Check != "latency" {
			t.Errorf("%+v", f)
		}
	}
}

// Each right of the rule that Open and the scripts use is named when it is missing, with
// the command that grants it.
func TestMissingRightsAreNamed(t *testing.T) {
	s := redistest.Start(t)
	rule := documentedRule(t)
	for word := range strings.FieldsSeq(redisstore.ACLRule) {
		right, isCommand := strings.CutPrefix(word, "+")
		if !isCommand || right == "select" || right == "eval" || right == "evalsha" {
			continue
		}
		f := find(t, runAs(t, asUser(t, s, rule+" -"+right), "app"), "rights")
		want := Failed
		if slices.Contains(optional, word) {
			want = Limited
		}
		if f.Result != want || !strings.HasPrefix(f.Detail, word+" missing (") || f.Remedy != "ACL SETUSER app "+word || f.Why == "" {
			t.Errorf("without %s: %+v", right, f)
		}
	}
	f := find(t, runAs(t, asUser(t, s, rule+" -hget -zadd -publish"), "app"), "rights")
	if f.Remedy != "ACL SETUSER app +publish +zadd +hget" && f.Remedy != "ACL SETUSER app +publish +hget +zadd" {
		t.Errorf("without three: %+v", f)
	}
}

func TestMissingRightToScriptsIsNamed(t *testing.T) {
	s := redistest.Start(t)
	rule := documentedRule(t)
	for without, remedy := range map[string]string{"-eval": "ACL SETUSER app +eval +evalsha", "-evalsha": "ACL SETUSER app +evalsha"} {
		f := find(t, runAs(t, asUser(t, s, rule+" "+without), "app"), "scripts")
		if f.Result != Failed || f.Remedy != remedy {
			t.Errorf("%s: %+v", without, f)
		}
	}
}

func TestMissingPatternsAreNamed(t *testing.T) {
	s := redistest.Start(t)
	rule := documentedRule(t)
	for _, c := range []struct{ without, want string }{
		{"resetchannels", "&rollcall:default:*"},
		{"resetkeys", "~rollcall:default:*"},
		{"resetkeys ~rollcall:staging:*", "~rollcall:default:*"},
		{"resetkeys ~rollcall:default:{*", "~rollcall:default:*"}, // the list of names, and the ID index
	} {
		report := runAs(t, asUser(t, s, rule+" "+c.without), "app")
		f := find(t, report, "rights")
		if scripts := find(t, report, "scripts"); scripts.Result == Failed {
			f = scripts // a script that declares a key needs the right to it
		}
		if f.Result != Failed || !strings.HasPrefix(f.Remedy, "ACL SETUSER app "+c.want) {
			t.Errorf("%s: %+v in\n%s", c.without, f, report)
		}
	}
}

func TestClusterRefusesTwoSlots(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs(), Protocol: 2})
	defer client.Close()
	report := run(t, client)
	if f := find(t, report, "slots"); f.Result != Passed || !strings.HasPrefix(f.Detail, "16384 of 16384 covered by 3 primaries") {
		t.Errorf("%+v", f)
	}
	if f := find(t, report, "scripts over two slots"); f.Result != Passed || !strings.Contains(f.Detail, "Cluster") || report.Failed() {
		t.Errorf("%+v in\n%s", f, report)
	}
	// A client of one node finds what a server that shards behind one address shows.
	one := run(t, cluster.NodeOf("a").Client(t))
	if f := find(t, one, "scripts over two slots"); f.Result == Passed {
		t.Errorf("%+v", f)
	}
	if f := find(t, one, "writes"); f.Result == Failed && !strings.Contains(f.Remedy, "redis+cluster://") {
		t.Errorf("%+v", f)
	}
	if f := find(t, one, "role"); f.Result != Failed || !strings.Contains(f.Remedy, "redis+cluster://") {
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

func TestKinds(t *testing.T) {
	for info, want := range map[string][2]string{
		"# Server\r\nredis_version:7.0.15\r\n":                                  {"Redis", "7.0.15"},
		"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n": {"Valkey", "8.0.1"},
		"redis_version:7.4.0\r\ndragonfly_version:df-v1.34.0\r\n":               {"Dragonfly", "df-v1.34.0"},
		"garnet_version:1.0.63\r\nredis_version:7.4.3\r\n":                      {"Garnet", "1.0.63"},
		"something:else\r\n": {"", ""},
	} {
		if kind, version := kindOf(parseInfo(info)); kind != want[0] || version != want[1] {
			t.Errorf("%q: %q, %q", info, kind, version)
		}
	}
}
