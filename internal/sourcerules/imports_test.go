package sourcerules

import (
	"slices"
	"strings"
	"testing"
)

// importRule says which packages of this repository a folder and those below it
// may import. Tests are exempt. A folder may always import what is below it, and a
// rule for a longer path replaces one for a shorter path.
type importRule struct {
	from string
	may  []string
}

// Imports go one way: cmd -> health, balance, grpcresolver -> registry -> core and stores -> store.
var importRules = []importRule{
	{"internal/store", nil},
	{"internal/store/storetest", []string{"internal/store"}},
	{"internal/backoff", nil},
	{"internal/batch", nil},
	{"internal/byid", nil},
	{"internal/cowmap", nil},
	{"internal/core", []string{"internal/store", "internal/backoff"}},
	{"internal/memstore", []string{"internal/store"}},
	{"internal/redisclient", []string{"internal/backoff"}},
	{"internal/redisstore", []string{"internal/store", "internal/redisclient", "internal/backoff", "internal/batch"}},
	{"internal/servercheck", []string{"registry", "internal/bridge", "internal/redisclient", "internal/redisstore"}},
	{"internal/serverproof", []string{"registry", "registry/registrytest", "internal/bridge", "internal/redisstore"}},
	{"internal/bridge", nil},
	{"registry", []string{"internal/backoff", "internal/byid", "internal/cowmap", "internal/core", "internal/store", "internal/memstore", "internal/redisclient", "internal/redisstore", "internal/bridge"}},
	{"registry/registrytest", []string{"registry", "internal/bridge", "internal/stall"}},
	{"internal/selector", []string{"registry"}},
	{"balance", []string{"registry", "internal/cowmap", "internal/selector"}},
	{"internal/probing", []string{"internal/backoff"}},
	{"internal/turns", nil},
	{"health", []string{"registry", "internal/probing", "internal/turns", "internal/byid"}},
	{"grpcresolver", []string{"registry", "health", "internal/selector"}},
	{"otel", []string{"registry"}},
	{"cmd", []string{"registry", "internal/servercheck", "internal/serverproof", "balance", "health", "grpcresolver", "otel", "internal/redisclient", "internal/probing", "internal/turns", "internal/backoff"}},
	{"internal/freeport", nil},
	{"internal/stall", nil},
	{"internal/waittest", nil},
	{"internal/serverprogram", nil},
	{"internal/shardproxy", nil},
	{"internal/redistest", []string{"internal/freeport", "internal/shardproxy", "internal/serverprogram", "internal/stall"}},
	{"internal/faultnet", []string{"internal/freeport"}},
	{"internal/programtest", nil},
	{"internal/deploytest", []string{"registry", "internal/freeport"}},
}

func TestImportsFollowTheRules(t *testing.T) {
	for _, f := range goFiles(t) {
		rule, ok := ruleOf(f.dir)
		if !ok || f.test {
			continue
		}
		for _, imported := range f.imports {
			folder, ours := strings.CutPrefix(imported, module+"/")
			if ours && !under(folder, rule.from) && !allowed(folder, rule.may) {
				t.Errorf("%s: %s may not import %s, only %v and what is below itself", f.path, rule.from, folder, rule.may)
			}
		}
	}
}

// allowed is exact: a folder that may import internal/store may not import what is
// below it, such as internal/store/storetest.
func allowed(folder string, may []string) bool {
	return slices.Contains(may, folder)
}

func ruleOf(dir string) (rule importRule, ok bool) {
	for _, a := range importRules {
		if under(dir, a.from) && len(a.from) > len(rule.from) {
			rule, ok = a, true
		}
	}
	return rule, ok
}

// goRedis is the client that only the Redis store and its transport talk through. Package registry
// names its type in the configuration; the rest are parts of tests.
const goRedis = "github.com/redis/go-redis"

var goRedisUsers = []string{"registry", "internal/redisclient", "internal/redisstore", "internal/servercheck", "internal/serverproof", "internal/redistest", "internal/faultnet", "faults", "bench"}

func TestOnlyTheRedisStoreImportsGoRedis(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, imported := range f.imports {
			if under(imported, goRedis) && !f.test && !under(f.dir, goRedisUsers...) {
				t.Errorf("%s: only %v may import %s", f.path, goRedisUsers, goRedis)
			}
		}
	}
}

// Parts of tests must not end up in programs.
func TestTestPartsStayInTests(t *testing.T) {
	parts := []string{module + "/internal/redistest", module + "/internal/faultnet", module + "/internal/shardproxy", module + "/internal/freeport", module + "/internal/deploytest", module + "/internal/stall", module + "/internal/programtest", module + "/internal/waittest", "testing"}
	users := []string{"registry/registrytest", "internal/serverproof", "internal/store/storetest", "internal/redistest", "internal/shardproxy", "internal/faultnet", "internal/deploytest", "internal/stall", "internal/programtest", "internal/waittest", "faults", "bench"}
	for _, f := range goFiles(t) {
		for _, imported := range f.imports {
			if !f.test && under(imported, parts...) && !under(f.dir, users...) {
				t.Errorf("%s: %s is for tests", f.path, imported)
			}
		}
	}
}
