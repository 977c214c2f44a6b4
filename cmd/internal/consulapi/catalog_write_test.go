package consulapi

import (
	"net/http"
	"strings"
	"testing"
)

func TestNodesOfTheCatalog(t *testing.T) {
	d := start(t, localBackend(t), "n1")
	register := func(body string) {
		t.Helper()
		if a := d.must("PUT", "/v1/catalog/register", body); strings.TrimSpace(a.body) != "true" {
			t.Fatalf("%s", a.body)
		}
	}
	register(`{"Node":"ext","Address":"10.0.0.9","NodeMeta":{"rack":"a"},"Check":{"Node":"ext","CheckID":"alive","Name":"alive","Status":"passing"}}`)
	register(`{"Node":"ext","SkipNodeUpdate":true,"Service":{"ID":"db1","Service":"db","Port":5432,"Tags":["main"]},
		"Checks":[{"CheckID":"db","Status":"warning","ServiceID":"db1"}]}`)
	list := d.health("db")
	if len(list) != 1 || list[0].Node.Address != "10.0.0.9" || list[0].Node.Meta["rack"] != "a" || list[0].Service.Port != 5432 {
		t.Fatalf("%+v", list)
	}
	if got := statuses(list[0]); got["db"] != "warning" || got["alive"] != "passing" {
		t.Errorf("checks: %v", got)
	}
	if got := d.health("db?node-meta=rack:b"); len(got) != 0 {
		t.Errorf("on another rack: %+v", got)
	}
	register(`{"Node":"ext","SkipNodeUpdate":true,"Check":{"CheckID":"db","Status":"passing","ServiceID":"db1"}}`)
	if got := d.health("db?passing"); len(got) != 1 {
		t.Errorf("after the check passed: %+v", d.health("db"))
	}
	nodes, _ := readAs[[]nodeJSON](d, "/v1/catalog/nodes?node-meta=rack:a")
	if len(nodes) != 1 || nodes[0].Node != "ext" {
		t.Errorf("nodes: %+v", nodes)
	}
	if services, _ := readAs[map[string][]string](d, "/v1/catalog/services"); services[bareNodeService] != nil {
		t.Errorf("a node without services is in the list of services: %v", services)
	}
	for _, path := range []string{"/v1/catalog/node/ext", "/v1/catalog/node-services/ext"} {
		if a := d.must("GET", path, ""); !strings.Contains(a.body, `"ID":"db1"`) || strings.Contains(a.body, bareNodeService) {
			t.Errorf("%s: %s", path, a.body)
		}
		if a := d.must("GET", path+"unknown", ""); strings.TrimSpace(a.body) != "null" {
			t.Errorf("%sunknown: %s", path, a.body)
		}
	}
	for _, step := range []struct{ body, path, without string }{
		{`{"Node":"ext","CheckID":"db"}`, "/v1/health/service/db", `"CheckID":"db"`},
		{`{"Node":"ext","ServiceID":"db1"}`, "/v1/catalog/node/ext", `db1`},
		{`{"Node":"ext"}`, "/v1/catalog/nodes", `"ext"`},
		{`{"Node":"unknown"}`, "/v1/catalog/nodes", `"unknown"`},
	} {
		d.must("PUT", "/v1/catalog/deregister", step.body)
		if a := d.must("GET", step.path, ""); strings.Contains(a.body, step.without) {
			t.Errorf("after %s: %s", step.body, a.body)
		}
	}
	if a := d.do("PUT", "/v1/catalog/register", `{"Node":"x"}`); a.code != http.StatusBadRequest {
		t.Errorf("a node without an address: %d %s", a.code, a.body)
	}
	d.must("PUT", "/v1/catalog/deregister", `{"Node":"n1"}`)
	if a := d.must("GET", "/v1/catalog/nodes", ""); !strings.Contains(a.body, `"n1"`) {
		t.Error("a daemon's own node was removed")
	}
}
