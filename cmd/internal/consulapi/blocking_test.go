package consulapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBlockingQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		before := d.must("GET", "/v1/health/service/api", "")
		if before.index() < 1 || strings.TrimSpace(before.body) != "[]" {
			t.Fatalf("no instance yet: index %d, %s", before.index(), before.body)
		}
		began := time.Now()
		first := d.blocked(fmt.Sprintf("/v1/health/service/api?index=%d", before.index()))
		synctest.Wait()
		time.Sleep(time.Minute)
		d.register(`{"ID":"o","Name":"other","Port":1}`) // wakes no query
		synctest.Wait()
		select {
		case a := <-first:
			t.Fatalf("another service woke the query: index %d after %d", a.index(), before.index())
		default:
		}
		d.register(`{"ID":"a","Name":"api","Port":1}`)
		woken := <-first
		if time.Since(began) != time.Minute || woken.index() <= before.index() || !strings.Contains(woken.body, `"ID":"a"`) {
			t.Errorf("the first registration: after %s, index %d, %s", time.Since(began), woken.index(), woken.body)
		}

		// The wait passes: the same result and index, with a jitter of up to a sixteenth.
		began = time.Now()
		same := d.must("GET", fmt.Sprintf("/v1/health/service/api?index=%d&wait=16s", woken.index()), "")
		if took := time.Since(began); took < 16*time.Second || took > 17*time.Second || same.index() != woken.index() || same.body != woken.body {
			t.Errorf("after %s, index %d", took, same.index())
		}

		// The index does not fall with the last instance.
		last := d.blocked(fmt.Sprintf("/v1/health/service/api?index=%d", woken.index()))
		synctest.Wait()
		d.must("PUT", "/v1/agent/service/deregister/a", "")
		if gone := <-last; gone.index() <= woken.index() || strings.TrimSpace(gone.body) != "[]" {
			t.Errorf("the last one left: index %d after %d, %s", gone.index(), woken.index(), gone.body)
		}

		// An index of before a restart: hold, then say the true one.
		began = time.Now()
		future := d.must("GET", "/v1/health/service/api?index=18446744073709551615&wait=5s", "")
		if time.Since(began) < 5*time.Second || future.index() == 0 {
			t.Errorf("an index from the future: %d after %s", future.index(), time.Since(began))
		}
	})
}

func TestTheCatalogBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		d.register(`{"ID":"a","Name":"api","Port":1,"Tags":["x"]}`)
		synctest.Wait()
		before := d.must("GET", "/v1/catalog/services", "")
		waiting := d.blocked(fmt.Sprintf("/v1/catalog/services?index=%d&wait=1h", before.index()))
		synctest.Wait()
		d.register(`{"ID":"a2","Name":"api","Port":2,"Tags":["x"]}`) // the same names and tags
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case a := <-waiting:
			t.Fatalf("woken by %s", a.body)
		default:
		}
		d.register(`{"ID":"w","Name":"web","Port":2}`)
		if a := <-waiting; !strings.Contains(a.body, `"web":[]`) {
			t.Errorf("%s", a.body)
		}
	})
}

func TestParametersOfReads(t *testing.T) {
	d := start(t, localBackend(t), "n1")
	d.register(`{"ID":"a","Name":"api","Port":1,"Meta":{"v":"2"},"Tags":["x"]}`)
	for _, test := range []struct {
		path, want string
		code       int
	}{
		{"/v1/health/service/api?stale=&wait=55000ms", `"ID":"a"`, 200},
		{"/v1/health/service/api?consistent&cached&near=_agent&unknown=1", `"ID":"a"`, 200},
		{"/v1/health/service/api?stale&consistent", "conflicting semantics.", 400},
		{"/v1/health/service/api?wait=10", "Invalid wait time", 400},
		{"/v1/health/service/api?index=x", "Invalid index", 400},
		{"/v1/health/service/api?index=", `"ID":"a"`, 200},
		{"/v1/health/service/api?passing=maybe", "Invalid value for ?passing", 400},
		{"/v1/health/service/api?dc=dc1", `"ID":"a"`, 200},
		{"/v1/health/service/api?dc=dc2", "No path to datacenter", 500},
		{"/v1/health/service/", "Missing service name", 400},
		{"/v1/health/state/", "Missing check state", 400},
		{"/v1/health/service/api?pretty", "    \"Node\"", 200},
		{"/v1/health/service/api?filter=Service.Meta.v+%3D%3D+2", `"ID":"a"`, 200},
		{"/v1/health/service/api?filter=Service.Meta.v+%3D%3D+3", "[]", 200},
		{"/v1/health/service/api?filter=%22x%22+in+Service.Tags+and+Node.Node+%3D%3D+n1", `"ID":"a"`, 200},
		{"/v1/health/service/api?filter=Nothing+%3D%3D+3", "Failed to filter", 400},
		{"/v1/health/service/api?filter=%28", "Failed to create boolean expression evaluator", 400},
		{"/v1/catalog/service/api?filter=ServiceMeta.v+%3D%3D+2", `"ServiceID":"a"`, 200},
		{"/v1/catalog/services?filter=ServiceName+%3D%3D+api", `{"api":["x"]}`, 200},
		{"/v1/catalog/nodes?filter=Node+%3D%3D+n1", `"Node":"n1"`, 200},
		{"/v1/agent/services?filter=Service+%3D%3D+api", `"a":{`, 200},
		{"/v1/catalog/datacenters", `["dc1"]`, 200},
		{"/v1/status/peers", `["127.0.0.1:8300"]`, 200},
		{"/v1/agent/self", `"Datacenter":"dc1"`, 200},
		{"/v1/nothing", "", 404},
	} {
		a := d.do("GET", test.path, "")
		if a.code != test.code || !strings.Contains(a.body, test.want) {
			t.Errorf("%s: %d %.200s, want %d with %q", test.path, a.code, a.body, test.code, test.want)
		}
	}
	a := d.must("GET", "/v1/health/service/api", "")
	for name, want := range map[string]string{"X-Consul-KnownLeader": "true", "X-Consul-LastContact": "0", "Content-Type": "application/json"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if a := d.do("POST", "/v1/agent/service/register", "{}"); a.code != http.StatusMethodNotAllowed || a.header.Get("Allow") != "OPTIONS,PUT" {
		t.Errorf("POST: %d, Allow %q", a.code, a.header.Get("Allow"))
	}
	// A 404 makes clients of KV ask again at once.
	for _, path := range []string{"/v1/kv/fabio/config?index=1", "/v1/session/list", "/v1/acl/tokens"} {
		if a := d.do("GET", path, ""); a.code != http.StatusNotImplemented {
			t.Errorf("%s: %d", path, a.code)
		}
	}
}

// Lists and maps that clients iterate over are never null.
func TestNothingIsNull(t *testing.T) {
	d := start(t, localBackend(t), "n1")
	d.register(`{"ID":"a","Name":"api","Port":1}`)
	for _, path := range []string{"/v1/agent/services", "/v1/agent/checks", "/v1/catalog/service/api", "/v1/catalog/nodes", "/v1/health/state/any",
		"/v1/catalog/services", "/v1/health/checks/api", "/v1/catalog/service/none", "/v1/health/state/critical"} {
		if a := d.must("GET", path, ""); strings.Contains(a.body, "null") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	if a := d.must("GET", "/v1/health/service/api", ""); !strings.Contains(a.body, `"Meta":null`) || !strings.Contains(a.body, `"Tags":[]`) {
		t.Errorf("health: %s", a.body)
	}
}

func TestAgentServiceBlocksOnItsHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		if a := d.do("GET", "/v1/agent/service/api", ""); a.code != 404 || a.body != "unknown service ID: api" {
			t.Errorf("%d %s", a.code, a.body)
		}
		d.register(`{"Name":"api","Port":1}`)
		a := d.must("GET", "/v1/agent/service/api", "")
		hash := a.header.Get("X-Consul-ContentHash")
		began := time.Now()
		if same := d.must("GET", "/v1/agent/service/api?wait=8s&hash="+hash, ""); same.header.Get("X-Consul-ContentHash") != hash || time.Since(began) < 8*time.Second {
			t.Errorf("after %s: %v", time.Since(began), same.header)
		}
		waiting := d.blocked("/v1/agent/service/api?hash=" + hash)
		synctest.Wait()
		d.register(`{"Name":"api","Port":2}`)
		if woken := <-waiting; !strings.Contains(woken.body, `"Port":2`) {
			t.Errorf("%s", woken.body)
		}
	})
}
