package consulapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

const testTTL = 3 * time.Second

// onRedis opens a registry of its own, as each daemon has.
func onRedis(t *testing.T, s *redistest.Server) registry.Backend {
	t.Helper()
	b, err := registry.NewRedisRegistry(t.Context(), registry.RedisRegistryConfig{
		RedisAddr: s.Addr(), TTL: testTTL, HeartbeatInterval: testTTL / 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func ids(list []healthEntry) string {
	var out []string
	for _, e := range list {
		out = append(out, e.Node.Node+"/"+e.Service.ID)
	}
	return strings.Join(out, " ")
}

// What is registered through one daemon is discovered, blocked on and seen to end
// through the other. Two nodes may have the same ID, as is usual with Consul.
func TestTwoDaemonsAgree(t *testing.T) {
	s := redistest.Start(t)
	one, two := start(t, onRedis(t, s), "n1"), start(t, onRedis(t, s), "n2")
	before := two.must("GET", "/v1/health/service/api?passing", "")
	waiting := two.blocked(fmt.Sprintf("/v1/health/service/api?passing&index=%d", before.index()))
	one.register(`{"Name":"api","Port":1,"Check":{"TTL":"1h","Status":"passing"}}`)
	if woken := <-waiting; !strings.Contains(woken.body, `"Node":"n1"`) {
		t.Fatalf("woken with %s", woken.body)
	}
	two.register(`{"Name":"api","Port":2,"Check":{"TTL":"1h","Status":"passing"}}`)
	for _, d := range []*daemon{one, two} {
		waittest.Eventually(t, "both instances", func() bool { return ids(d.health("api?passing")) == "n1/api n2/api" })
	}
	one.must("PUT", "/v1/agent/check/fail/service:api?note=disk+full", "")
	waittest.Eventually(t, "the failing check", func() bool { return ids(two.health("api?passing")) == "n2/api" })
	for _, c := range two.health("api")[0].Checks {
		if c.CheckID == "service:api" && (c.Status != "critical" || c.Output != "disk full") {
			t.Errorf("the other daemon shows %+v", c)
		}
	}
	waittest.Eventually(t, "both nodes", func() bool {
		nodes, _ := readAs[[]nodeJSON](two, "/v1/catalog/nodes")
		return len(nodes) == 2
	})
	if err := one.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	waittest.Eventually(t, "n1 to leave", func() bool { return ids(two.health("api")) == "n2/api" })
}

// A daemon that dies keeps nothing alive. One that starts again under the same name
// first adopts what is there, with its health.
func TestADaemonAdoptsWhatItsNodeLeft(t *testing.T) {
	s := redistest.Start(t)
	other := start(t, onRedis(t, s), "n2")
	backend := onRedis(t, s)
	first := begin(t, backend, "n1")
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.register(`{"ID":"a1","Name":"api","Port":1,"Check":{"TTL":"1h","Status":"passing"}}`)
	first.Close()
	_ = backend.Close() // as a crash: nothing is deregistered

	backend = onRedis(t, s)
	second := begin(t, backend, "n1")
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "what was adopted, with its health", func() bool { return ids(second.health("api?passing")) == "n1/a1" })
	second.must("PUT", "/v1/agent/check/warn/service:a1", "")
	waittest.Eventually(t, "the adopted check", func() bool {
		list := other.health("api")
		return len(list) == 1 && statuses(list[0])["service:a1"] == "warning"
	})
	second.Close()
	_ = backend.Close()
	waittest.Eventually(t, "what no daemon keeps alive to expire", func() bool { return len(other.health("api")) == 0 })
	waittest.Eventually(t, "its node to expire", func() bool {
		nodes, _ := readAs[[]nodeJSON](other, "/v1/catalog/nodes")
		return len(nodes) == 1 && nodes[0].Node == "n2"
	})
}

// While the backend is unavailable no answer is an empty list that is not true.
func TestAnAPIThatCannotLie(t *testing.T) {
	s := redistest.Start(t)
	d := start(t, onRedis(t, s), "n1")
	d.register(`{"ID":"a","Name":"api","Port":1}`)
	d.must("GET", "/v1/catalog/services", "")
	known := d.must("GET", "/v1/health/service/api", "")
	s.Kill()
	var a answer
	waittest.Eventually(t, "the outage to show", func() bool {
		a = d.must("GET", "/v1/health/service/api", "")
		return a.header.Get("X-Consul-KnownLeader") == "false"
	})
	if a.body != known.body || a.index() != known.index() {
		t.Errorf("the last known state: index %d after %d: %s", a.index(), known.index(), a.body)
	}
	waittest.Eventually(t, "its age to grow", func() bool {
		return d.must("GET", "/v1/health/service/api", "").header.Get("X-Consul-LastContact") != "0"
	})
	if a := d.must("GET", "/v1/catalog/services", ""); !strings.Contains(a.body, `"api"`) {
		t.Errorf("the catalog: %s", a.body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for _, r := range []struct{ method, path, body string }{
		{"GET", "/v1/health/service/api?consistent", ""},
		{"GET", "/v1/health/service/unknown", ""},
		{"PUT", "/v1/agent/service/register", `{"Name":"new","Port":1}`},
	} {
		if a := d.doWith(ctx, r.method, r.path, r.body); a.code != http.StatusInternalServerError {
			t.Errorf("%s %s: %d %s", r.method, r.path, a.code, a.body)
		}
	}
	s.Restart() // empty
	waittest.Eventually(t, "the end of the outage", func() bool {
		a := d.must("GET", "/v1/health/service/api", "")
		if !strings.Contains(a.body, `"ID":"a"`) {
			t.Fatalf("a false empty answer: %s", a.body)
		}
		return a.header.Get("X-Consul-KnownLeader") == "true"
	})
	d.must("PUT", "/v1/agent/service/deregister/a", "")
	waittest.Eventually(t, "a true zero", func() bool { return strings.TrimSpace(d.must("GET", "/v1/health/service/api", "").body) == "[]" })
}
