package consulapi

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

func TestARegistrationIsServedUntilItIsDeregistered(t *testing.T) {
	backend := localBackend(t)
	d := start(t, backend, "n1")
	d.register(`{"ID":"api/1 x","Name":"api","Port":8080,"Address":"10.0.0.7","Tags":["a","b"],"Meta":{"k":"v"},
		"TaggedAddresses":{"http":{"Address":"http://x","Port":1}},"Weights":{"Passing":3,"Warning":2}}`)
	list := d.health("api?passing&tag=a&tag=b")
	if len(list) != 1 {
		t.Fatalf("health has %d instances", len(list))
	}
	s := list[0].Service
	if s.ID != "api/1 x" || s.Address != "10.0.0.7" || s.Port != 8080 || s.Meta["k"] != "v" || s.Weights != (weightsJSON{3, 2}) ||
		s.TaggedAddresses["http"].Address != "http://x" || list[0].Node.Node != "n1" || list[0].Node.Address != "127.0.0.1" {
		t.Errorf("health has %+v", list[0])
	}
	if got := d.health("api?tag=a&tag=c"); len(got) != 0 {
		t.Errorf("two tags are not both required: %+v", got)
	}
	inLibrary, err := backend.Discover(t.Context(), "api")
	if err != nil || len(inLibrary) != 1 || inLibrary[0].ID != "api/1 x" || inLibrary[0].Port != 8080 || inLibrary[0].Weight != 3 {
		t.Errorf("the library discovers %+v, %v", inLibrary, err)
	}
	services, _ := readAs[map[string][]string](d, "/v1/catalog/services")
	if !slices.Equal(services["api"], []string{"a", "b"}) || services[nodeService] == nil {
		t.Errorf("the catalog has %v", services)
	}
	d.must("PUT", "/v1/agent/service/deregister/api%2F1%20x", "")
	if a := d.must("GET", "/v1/health/service/api", ""); strings.TrimSpace(a.body) != "[]" {
		t.Errorf("after deregistering: %s", a.body)
	}
	again := d.do("PUT", "/v1/agent/service/deregister/api%2F1%20x", "")
	if again.code != http.StatusNotFound || again.body != `Unknown service ID "api/1 x". Ensure that the service ID is passed, not the service name.` {
		t.Errorf("a second deregistration: %d %s", again.code, again.body)
	}
}

func TestAnInstanceOfTheLibraryIsServed(t *testing.T) {
	backend := localBackend(t)
	d := start(t, backend, "n1")
	err := backend.Register(t.Context(), registry.ServiceInfo{ID: "x", Name: "db", Address: "10.1.1.1", Port: 5432})
	if err != nil {
		t.Fatal(err)
	}
	var list []healthEntry
	waittest.Eventually(t, "the instance", func() bool { list = d.health("db?passing"); return len(list) == 1 })
	if e := list[0]; e.Node.Node != "10.1.1.1" || e.Service.ID != "x" || statuses(e)["service:x"] != "passing" || e.Service.Meta != nil {
		t.Errorf("%+v", e)
	}
	if err := backend.SetStatus(t.Context(), "x", registry.StatusCritical, "disk full"); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "its status", func() bool { return len(d.health("db?passing")) == 0 })
	if c := d.health("db")[0].Checks[0]; c.Status != "critical" || c.Output != "disk full" {
		t.Errorf("%+v", c)
	}
}

func TestRegistrationsThatAreRefused(t *testing.T) {
	d := start(t, localBackend(t), "n1")
	for _, test := range []struct{ body, want string }{
		{``, "Request decode failed: EOF"},
		{`{`, "Request decode failed: "},
		{`{"Name":1}`, "Request decode failed: "},
		{`{"Port":1}`, "Missing service name"},
		{`{"Name":"a","Address":"0.0.0.0"}`, "Invalid service address"},
		{`{"Name":"a","Address":"[::]"}`, "Invalid service address"},
		{`{"Name":"a","Check":{"TTL":"1s","Interval":"1s"}}`, "Invalid check: "},
		{`{"Name":"a","Check":{"HTTP":"http://x","TTL":"1s"}}`, "Invalid check: "},
		{`{"Name":"a","Check":{"HTTP":"http://x"}}`, "Invalid check: Interval"},
		{`{"Name":"a","Check":{"HTTP":"file:///etc/passwd","Interval":"1s"}}`, "Invalid check: HTTP must"},
		{`{"Name":"a","Check":{"Args":["sh"],"Interval":"1s"}}`, "Invalid check: Scripts are disabled"},
		{`{"Name":"a","Check":{"TTL":"1s","Status":"fine"}}`, "Status for checks must 'passing', 'warning', 'critical'"},
		{`{"Name":"a","Address":"http://x"}`, "Invalid service: "},
		{`{"Name":"` + strings.Repeat("a", 300) + `"}`, "Invalid service: "},
	} {
		a := d.do("PUT", "/v1/agent/service/register", test.body)
		if a.code != http.StatusBadRequest || !strings.HasPrefix(a.body, test.want) {
			t.Errorf("%.60s: %d %q, want 400 %q", test.body, a.code, a.body, test.want)
		}
	}
	if a := d.do("PUT", "/v1/agent/service/register", strings.Repeat(" ", maxBody+1)); a.code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body without end: %d %s", a.code, a.body)
	}
}

func TestFieldsMayBeInSnakeCaseAndNull(t *testing.T) {
	d := start(t, localBackend(t), "n1")
	d.register(`{"name":"a","port":80,"enable_tag_override":true,"check":null,"Checks":null,"tagged_addresses":{"lan_v4":{"address":"1.2.3.4","port":2}}}`)
	s := d.health("a")[0].Service
	if !s.EnableTagOverride || s.TaggedAddresses["lan_v4"].Port != 2 {
		t.Errorf("%+v", s)
	}
}

func TestATTLCheckThatLapsesWakesQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		d.register(`{"Name":"api","Port":80,"Check":{"TTL":"10s"}}`)
		if got := statuses(d.health("api")[0]); got["service:api"] != "critical" {
			t.Fatalf("a check begins as %v", got)
		}
		d.must("PUT", "/v1/agent/check/pass/service:api?note=fine", "")
		list, a := readAs[[]healthEntry](d, "/v1/health/service/api?passing")
		if len(list) != 1 || list[0].Checks[1].Output != "fine" {
			t.Fatalf("%+v", list)
		}
		began := time.Now()
		waiting := d.blocked(fmt.Sprintf("/v1/health/service/api?passing&index=%d", a.index()))
		woken := <-waiting
		if took := time.Since(began); took != 10*time.Second || strings.TrimSpace(woken.body) != "[]" || woken.index() <= a.index() {
			t.Errorf("after %s, index %d after %d: %s", took, woken.index(), a.index(), woken.body)
		}
		if out := d.health("api")[0].Checks[1].Output; !strings.HasPrefix(out, ttlReason) {
			t.Errorf("its output is %q", out)
		}
		d.must("PUT", "/v1/agent/check/update/service:api", `{"Status":"warning","Output":"slow"}`)
		if got := d.health("api"); len(d.health("api?passing")) != 0 || got[0].Checks[1].Status != "warning" {
			t.Errorf("%+v", got)
		}
	})
}

// A client that registers again and again changes nothing, and wakes no query.
func TestAnIdenticalRegistrationKeepsTheHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		const body = `{"Name":"api","Port":80,"Check":{"TTL":"1h"}}`
		d.register(body)
		d.must("PUT", "/v1/agent/check/pass/service:api", "")
		_, a := readAs[[]healthEntry](d, "/v1/health/service/api")
		waiting := d.blocked(fmt.Sprintf("/v1/health/service/api?index=%d&wait=1m", a.index()))
		for range 20 {
			d.register(body)
			d.must("PUT", "/v1/agent/check/pass/service:api", "")
			time.Sleep(time.Second)
		}
		if woken := <-waiting; woken.index() != a.index() {
			t.Errorf("woken at index %d after %d", woken.index(), a.index())
		}
		if len(d.health("api?passing")) != 1 {
			t.Error("the health is gone")
		}
		// Another port replaces the instance and keeps the health.
		d.register(`{"Name":"api","Port":81,"Check":{"TTL":"1h"}}`)
		if list := d.health("api?passing"); len(list) != 1 || list[0].Service.Port != 81 {
			t.Errorf("%+v", list)
		}
	})
}

func TestChecksThatARegistrationDoesNotName(t *testing.T) {
	d := start(t, localBackend(t), "n1")
	d.register(`{"Name":"api","Port":80,"Checks":[{"TTL":"1h","Status":"passing"},{"CheckID":"own","TTL":"1h","Status":"warning"}]}`)
	want := map[string]string{"service:api:1": "passing", "own": "warning"}
	if got := statuses(d.health("api")[0]); !maps.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	d.register(`{"Name":"api","Port":81}`)
	if got := statuses(d.health("api")[0]); !maps.Equal(got, want) {
		t.Errorf("after a registration without checks: %v, want %v", got, want)
	}
	d.must("PUT", "/v1/agent/service/register?replace-existing-checks", `{"Name":"api","Port":82,"Check":{"CheckID":"new","TTL":"1h"}}`)
	if got := statuses(d.health("api")[0]); !maps.Equal(got, map[string]string{"new": "critical"}) {
		t.Errorf("after replacing them: %v", got)
	}
	d.must("PUT", "/v1/agent/check/register", `{"Name":"more","ServiceID":"api","TTL":"1h","Status":"passing"}`)
	d.must("PUT", "/v1/agent/check/deregister/new", "")
	if got := statuses(d.health("api?passing")[0]); !maps.Equal(got, map[string]string{"more": "passing"}) {
		t.Errorf("after adding and removing one: %v", got)
	}
}

func TestUpdatesOfUnknownChecks(t *testing.T) {
	d := start(t, localBackend(t), "n1")
	d.register(`{"Name":"api","Port":80,"Check":{"TCP":"127.0.0.1:1","Interval":"1h"}}`)
	for _, test := range []struct {
		path string
		code int
		want string
	}{
		{"/v1/agent/check/pass/none", 404, `Unknown check ID "none". Ensure that the check ID is passed, not the check name.`},
		{"/v1/agent/check/pass/service:api", 500, `CheckID "service:api" does not have associated TTL`},
		{"/v1/agent/check/deregister/none", 404, `Unknown check ID "none"`},
		{"/v1/agent/service/maintenance/none?enable=true", 404, `Unknown service ID "none"`},
		{"/v1/agent/service/maintenance/api", 400, "Missing value for enable"},
		{"/v1/agent/service/maintenance/api?enable=maybe", 400, `Invalid value for enable: "maybe"`},
		{"/v1/agent/service/maintenance/?enable=true", 400, "Missing service ID"},
	} {
		if a := d.do("PUT", test.path, ""); a.code != test.code || !strings.HasPrefix(a.body, test.want) {
			t.Errorf("%s: %d %q, want %d %q", test.path, a.code, a.body, test.code, test.want)
		}
	}
	if a := d.do("PUT", "/v1/agent/check/update/x", `{"Status":"good"}`); a.code != 400 || a.body != "Invalid check status: 'good'" {
		t.Errorf("a bad status: %d %s", a.code, a.body)
	}
}

func TestMaintenanceSurvivesARegistration(t *testing.T) {
	d := start(t, localBackend(t), "n1")
	d.register(`{"ID":"a1","Name":"api","Port":80}`)
	d.must("PUT", "/v1/agent/service/maintenance/a1?enable=true&reason=new+disk", "")
	d.register(`{"ID":"a1","Name":"api","Port":81}`)
	list := d.health("api")
	if len(d.health("api?passing")) != 0 || statuses(list[0])["_service_maintenance:a1"] != "critical" || list[0].Checks[1].Notes != "new disk" {
		t.Errorf("%+v", list)
	}
	if a := d.do("GET", "/v1/agent/health/service/id/a1", ""); a.code != 503 || !strings.Contains(a.body, `"maintenance"`) {
		t.Errorf("agent/health: %d %s", a.code, a.body)
	}
	d.must("PUT", "/v1/agent/service/maintenance/a1?enable=false", "")
	if len(d.health("api?passing")) != 1 {
		t.Error("it is still in maintenance")
	}
	d.must("PUT", "/v1/agent/maintenance?enable=true", "")
	waittest.Eventually(t, "maintenance of the node", func() bool { return len(d.health("api?passing")) == 0 })
	d.must("PUT", "/v1/agent/maintenance?enable=false", "")
	waittest.Eventually(t, "the end of it", func() bool { return len(d.health("api?passing")) == 1 })
}

func TestAServiceThatStaysCriticalIsDeregistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		d.register(`{"Name":"api","Port":80,"Check":{"TTL":"10s","Status":"passing","DeregisterCriticalServiceAfter":"1s"}}`)
		time.Sleep(10*time.Second + minDeregisterAfter - time.Second)
		synctest.Wait()
		if len(d.health("api")) != 1 {
			t.Error("deregistered too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(d.health("api")) != 0 {
			t.Error("it stays")
		}
	})
}
