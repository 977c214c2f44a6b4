package grpcresolver_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/registry"
)

func TestNamesThatAreNoHost(t *testing.T) {
	eachBackend(t, func(t *testing.T, b registry.Backend) {
		for _, name := range []string{"api", "a b", "名前", "a/b", "/a", "a:b", "a*", "{a}", "a?b=c", "a#b", "a%20b", "a+b", "..", "[::1]"} {
			s := start(t, "server of "+name)
			register(t, b, s.service(func(i *registry.ServiceInfo) { i.Name = name }))
			until(t, client(t, b, grpcresolver.Target(name)), s.id)
		}
		for target, name := range map[string]string{"rollcall:///a%20b?zone=x": "a b", "rollcall:///a/b": "a/b", "rollcall:///a%2Fb": "a/b", "rollcall:///名前": "名前"} {
			until(t, client(t, b, target), "server of "+name)
		}
	})
}

func TestTargetsThatAreRefused(t *testing.T) {
	b := localRegistry(t)
	register(t, b, start(t, "a").service())
	for target, want := range map[string]string{
		"rollcall:///":                              "names no service",
		"rollcall://api":                            "three slashes",
		"rollcall:api":                              "three slashes",
		"rollcall://user:secret@host/api":           "three slashes",
		"rollcall:///api#x":                         "%23",
		"rollcall:///api?zome=eu-1":                 "there are zone, version, tag",
		"rollcall:///api?zone":                      "has no value",
		"rollcall:///api?tag=":                      "has no value",
		"rollcall:///api?zone=a&zone=b":             "given 2 times",
		"rollcall:///api?metadata.a=1&metadata.a=2": "given 2 times",
		"rollcall:///api?version=one":               "is no range of semantic versions",
		"rollcall:///api?version=^1;zone=eu-1":      "semicolon",
	} {
		_, err := who(t.Context(), client(t, b, target))
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want one with %q", target, err, want)
		}
	}
}

// refusedBy returns the error with which a client is refused when it is made.
func refusedBy(t *testing.T, w registry.Watcher, options ...grpcresolver.Option) string {
	t.Helper()
	conn, err := grpc.NewClient("rollcall:///api", grpcresolver.With(w, options...),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err.Error()
	}
	must(t, conn.Close())
	return ""
}

func TestServiceConfigsThatAreRefused(t *testing.T) {
	b := localRegistry(t)
	for config, want := range map[string]string{
		"{":                          "JSON",
		"{} {}":                      "after top-level value",
		" ":                          "JSON",
		"[]":                         "unmarshal array",
		"null":                       "write {}",
		`"text"`:                     "unmarshal string",
		`{"loadBalancingConfig":[]}`: "must be imported",
		`{"loadBalancingConfig":{}}`: "unmarshal object",
		`{"loadBalancingConfig":[{"no_such_policy":{}}]}`:                            "must be imported",
		`{"loadBalancingConfig":[{"round_robin":{},"pick_first":{}}]}`:               "one entry",
		`{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":7}}]}`:          "shuffleAddressList",
		`{"loadBalancingConfig":[{"round_robin":{}}],"methodConfig":[{"name":5}]}`:   "MethodConfig.Name",
		`{"loadBalancingPolicy":"no_such_policy"}`:                                   "must be imported",
		`{"loadBalancingPolicy":5}`:                                                  "unmarshal number",
		`{"loadBalancingConfig":null,"loadBalancingPolicy":"no_such_policy"}`:        "must be imported",
		`{"LoadBalancingConfig":[{"no_such_policy":{}}]}`:                            "must be imported",
		`{"loadBalancingConfig":[{"no_such_policy":{}},{"also_no_such_policy":{}}]}`: "must be imported",
	} {
		got := refusedBy(t, b, grpcresolver.WithServiceConfig(config))
		if !strings.Contains(got, "WithServiceConfig") || !strings.Contains(got, want) {
			t.Errorf("%s: error %q, want one with %q", config, got, want)
		}
	}
	if got := refusedBy(t, nil); !strings.Contains(got, "With: the watcher is nil") {
		t.Errorf("no watcher: error %q", got)
	}
}

// A config names its policy as gRPC reads it.
func TestThePolicyOfAServiceConfig(t *testing.T) {
	b := localRegistry(t)
	register(t, b, start(t, "a").service(), start(t, "b").service())
	for config, want := range map[string]int{
		`{}`:                           2,
		`{"loadBalancingConfig":null}`: 2,
		`{"loadBalancingPolicy":null}`: 2,
		`{"loadBalancingPolicy":""}`:   2,
		`{"loadBalancingConfig":null,"loadBalancingPolicy":"pick_first"}`:                      1,
		`{"loadBalancingConfig":[{"round_robin":{}}],"loadBalancingPolicy":"pick_first"}`:      2,
		`{"loadBalancingConfig":[{"no_such_policy":{}},{"pick_first":{}},{"round_robin":{}}]}`: 1,
		`{"LoadBalancingConfig":[{"pick_first":{}}]}`:                                          1,
	} {
		conn := client(t, b, "rollcall:///api", grpcresolver.WithServiceConfig(config))
		if want == 2 {
			until(t, conn, "a", "b")
			continue
		}
		if count := answers(t, conn, 20); len(count) != want {
			t.Errorf("%s: answers came from %v, want pick_first's one", config, count)
		}
	}
}

func TestSelection(t *testing.T) {
	b := localRegistry(t)
	add := func(id, zone, version string, tags ...string) {
		register(t, b, start(t, id).service(func(s *registry.ServiceInfo) {
			s.Version, s.Tags, s.Metadata = version, tags, map[string]string{"zone": zone, "shard": id[:1]}
		}))
	}
	add("1a", "eu-1", "1.2.0", "blue")
	add("1b", "eu-2", "v1.9", "blue", "canary")
	add("2a", "eu-1", "2.0.0-rc.1", "green")
	add("2b", "us-1", "nightly")
	for query, want := range map[string]string{
		"":                              "1a 1b 2a 2b",
		"?zone=eu-1":                    "1a 2a",
		"?zone=nowhere":                 "1a 1b 2a 2b",
		"?version=^1":                   "1a 1b",
		"?version=>=1.5,<2":             "1b",
		"?version=%3E%3D2-0":            "2a",
		"?version=^1&zone=eu-1":         "1a",
		"?version=^1&zone=us-1":         "1a 1b",
		"?tag=blue":                     "1a 1b",
		"?tag=blue&tag=canary":          "1b",
		"?metadata.shard=2":             "2a 2b",
		"?metadata.zone=us-1&zone=eu-1": "2b",
	} {
		t.Run(query, func(t *testing.T) { until(t, client(t, b, "rollcall:///api"+query), strings.Fields(want)...) })
	}
	expectError(t, client(t, b, "rollcall:///api?version=^3"), `none of the 4 callable instances of "api" matches version=^3`)
}

// A zone's last instance gone, the others are called; the first one back, they are not.
func TestZoneSpillsOver(t *testing.T) {
	b := localRegistry(t)
	near, far := start(t, "near"), start(t, "far")
	here := near.service(func(s *registry.ServiceInfo) { s.Metadata = map[string]string{registry.MetadataZone: "eu-1"} })
	register(t, b, here, far.service())
	conn := client(t, b, "rollcall:///api?zone=eu-1")
	until(t, conn, "near")
	must(t, b.Drain(t.Context(), "near"))
	until(t, conn, "far")
	must(t, b.Undrain(t.Context(), "near"))
	until(t, conn, "near")
}
