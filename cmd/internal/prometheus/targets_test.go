package prometheus

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/cmd/internal/consulapi"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

func TestATargetAndItsLabels(t *testing.T) {
	i := instance("api", "api-1", "2001:db8::1", 8080)
	i.Version, i.HealthEndpoint, i.Tags = "1.2.3", "/healthy", []string{"blue", "b,c"}
	i.Metadata = map[string]string{"zone": "eu-1", "a.b/c": "dot", "a_b_c": "underscore", "ü": "umlaut", "empty": ""}
	i.Node.Meta = map[string]string{"rack-no": "7"}
	i.Health = "critical"
	states := &fakeStates{}
	states.set(service("api", i))
	list := targetsOf(t, NewTargets(states, 0), "")
	if len(list) != 1 || len(list[0].Targets) != 1 || list[0].Targets[0] != "[2001:db8::1]:8080" {
		t.Fatalf("targets %+v", list)
	}
	want := map[string]string{
		"service": "api", "id": "api-1", "status": "critical", "version": "1.2.3", "zone": "eu-1", "health_endpoint": "/healthy",
		"tags": ",blue,b,c,", "node": "n1", "node_address": "10.0.0.1", "node_metadata_rack_no": "7",
		"metadata_zone": "eu-1", "metadata_a_b_c": "dot", "metadata__": "umlaut",
	}
	got := make(map[string]string)
	for name, value := range list[0].Labels {
		short, ok := strings.CutPrefix(name, "__meta_rollcall_")
		if !ok {
			t.Errorf("label %q does not begin as documented", name)
		}
		got[short] = value
	}
	if !maps.Equal(got, want) {
		t.Errorf("labels\n%v\nwant\n%v", got, want)
	}
}

func TestTargetsOfEveryStatus(t *testing.T) {
	var all []*consulapi.Instance
	for _, s := range []registry.Status{registry.StatusPassing, registry.StatusWarning, registry.StatusCritical, registry.StatusDraining} {
		i := instance("api", string(s), "10.0.0.1", 80)
		i.Status, i.Health = s, string(s)
		if s == registry.StatusDraining {
			i.Health = "critical" // as Consul's API shows it
		}
		all = append(all, i)
	}
	noPort := instance("api", "passing", "10.0.0.2", 1)
	noPort.NoPort = true
	states := &fakeStates{}
	states.set(service("api", append(all, noPort)...))
	list := targetsOf(t, NewTargets(states, 0), "")
	if len(list) != 5 {
		t.Fatalf("%d targets: %+v", len(list), list)
	}
	for _, s := range list {
		if s.Labels["__meta_rollcall_status"] != s.Labels["__meta_rollcall_id"] {
			t.Errorf("status %q of the instance that is %q", s.Labels["__meta_rollcall_status"], s.Labels["__meta_rollcall_id"])
		}
	}
	if address := list[4].Targets[0]; address != "10.0.0.2:0" {
		t.Errorf("without a port the target is %q", address)
	}
}

func TestTargetsAreSelected(t *testing.T) {
	a, b, c := instance("api", "a", "10.0.0.1", 80), instance("api", "b", "10.0.0.1", 81), instance("web", "c", "10.0.0.1", 82)
	a.Tags, b.Tags, c.Tags = []string{"Metrics", "blue"}, []string{"metrics"}, []string{"blue"}
	states := &fakeStates{}
	states.set(service("api", a, b), service("web", c), service("gone"),
		service("consul", instance("consul", "consul@n1", "10.0.0.1", 8500)), service("rollcall-node", instance("rollcall-node", "n2", "10.0.0.2", 1)))
	h := NewTargets(states, 0)
	for query, want := range map[string]string{
		"": "a b c", "?service=api": "a b", "?service=web&service=api&service=web": "a b c", "?tag=metrics": "a b", "?tag=metrics&tag=blue": "a",
		"?service=web&tag=metrics": "", "?service=gone": "", "?service=consul": "consul@n1", "?service=rollcall-node": "n2",
		"?service=api&token=secret&dc=dc1": "a b",
	} {
		for range 2 { // the second answer is from the cache
			if got := ids(targetsOf(t, h, query)); got != want {
				t.Errorf("%q: %q, want %q", query, got, want)
			}
		}
	}
	if w := ask(h, "GET", TargetsPath+"?service=gone"); w.Body.String() != "[]\n" {
		t.Errorf("a true zero is %q", w.Body)
	}
}

func TestRequestsForTargetsThatAreRefused(t *testing.T) {
	states := &fakeStates{}
	states.set()
	h := NewTargets(states, 0)
	for query, word := range map[string]string{"?service=": "service", "?tag=": "tag", "?service=%zz": "query"} {
		if w := ask(h, "GET", TargetsPath+query); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), word) {
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
	}
	if w := ask(h, "POST", TargetsPath); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("POST: %d %v", w.Code, w.Header())
	}
	if w := ask(h, "GET", TargetsPath); w.Body.String() != "[]\n" {
		t.Errorf("no service at all: %q", w.Body)
	}
}

// While nothing is known there are no targets, but no empty list either.
func TestTargetsThatAreNotKnown(t *testing.T) {
	states := &fakeStates{}
	h := NewTargets(states, 0)
	unknown := func(query string) {
		t.Helper()
		if w := ask(h, "GET", TargetsPath+query); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "unavailable") {
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
	}
	unknown("")
	unknown("?service=api")
	states.set(service("api", instance("api", "a", "10.0.0.1", 80)))
	unknown("?service=web")
	unknown("?service=api&service=web")
	states.catalog.Names = append(states.catalog.Names, "web")
	unknown("")
	if got := ids(targetsOf(t, h, "?service=api")); got != "a" {
		t.Errorf("the known service has %q", got)
	}
}

// Stale targets are answered until they are too old.
func TestTargetsThatAreStale(t *testing.T) {
	states, lost, now := &fakeStates{}, errors.New("connection refused"), time.Now()
	api, web := service("api", instance("api", "a", "10.0.0.1", 80)), service("web", instance("web", "b", "10.0.0.1", 81))
	api.Stale, api.AsOf = lost, now
	states.set(api, web)
	h := NewTargets(states, time.Minute)
	h.now = func() time.Time { return now.Add(time.Minute) }
	for query, want := range map[string]string{"": "a b", "?service=api": "a", "?service=web": "b"} {
		if got := ids(targetsOf(t, h, query)); got != want {
			t.Errorf("stale for as long as it may be, %q: %q", query, got)
		}
	}
	h.now = func() time.Time { return now.Add(time.Minute + 1) }
	for _, query := range []string{"", "?service=api", "?service=api&service=web"} {
		if w := ask(h, "GET", TargetsPath+query); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "connection refused") {
			t.Errorf("stale for too long, %q: %d %s", query, w.Code, w.Body)
		}
	}
	if got := ids(targetsOf(t, h, "?service=web")); got != "b" {
		t.Errorf("a service that is not stale: %q", got)
	}
	api.Stale, api.AsOf = nil, time.Time{}
	states.set(api, web)
	if got := ids(targetsOf(t, h, "")); got != "a b" {
		t.Errorf("after the outage: %q", got)
	}
}

// An answer is made once for the same states.
func TestTargetsAreCached(t *testing.T) {
	states := &fakeStates{}
	states.set(service("api", instance("api", "a", "10.0.0.1", 80)), service("web", instance("web", "b", "10.0.0.1", 81)))
	h := NewTargets(states, 0)
	list := func(s selection) *targetList {
		t.Helper()
		l, err := h.list(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	all, api := list(selection{}), list(selection{services: []string{"api"}})
	reads := states.reads
	if again := list(selection{}); again != all || states.reads != reads {
		t.Errorf("nothing changed, and %d services were read", states.reads-reads)
	}
	states.catalog = &consulapi.CatalogState{Names: states.catalog.Names} // another service changed and changed back
	states.services["web"] = &consulapi.ServiceState{Name: "web"}
	if again := list(selection{services: []string{"api"}}); &again.body[0] != &api.body[0] {
		t.Error("another service changed, and the answer was made again")
	}
	if again := list(selection{}); &again.body[0] == &all.body[0] {
		t.Error("a service changed, and the answer is the old one")
	}
	web := service("web", instance("web", "c", "10.0.0.1", 81), instance("web", "d", "10.0.0.1", 82))
	states.services["web"], states.services["none"] = &web, &consulapi.ServiceState{Name: "none"}
	states.catalog = &consulapi.CatalogState{Names: []string{"none", "api", "web"}}
	if got := ids(targetsOf(t, h, "")); got != "a c d" {
		t.Errorf("with the part of a service that did not change: %q", got)
	}
}

// Whatever is asked for, the cache stays small.
func TestTheCacheOfTargetsIsBounded(t *testing.T) {
	states := &fakeStates{}
	i := instance("api", "a", "10.0.0.1", 80)
	i.Metadata = map[string]string{"k": strings.Repeat("v", 1000)}
	states.set(service("api", i), service("web"))
	h := NewTargets(states, 0)
	h.maxBytes = 8000
	for n := range 2 * maxCachedAnswers {
		targetsOf(t, h, fmt.Sprintf("?service=web&tag=%d", n))
	}
	if len(h.cached) > maxCachedAnswers {
		t.Errorf("%d answers are cached", len(h.cached))
	}
	for n := range 20 {
		i.Tags = append(i.Tags, fmt.Sprint(n))
	}
	for n := range 20 {
		targetsOf(t, h, fmt.Sprintf("?service=api&tag=%d", n))
	}
	size := 0
	for _, l := range h.cached {
		size += len(l.body)
	}
	if size > h.maxBytes || size != h.bytes {
		t.Errorf("%d bytes are cached, counted as %d", size, h.bytes)
	}
}

func TestTargetsOfConsulsAPI(t *testing.T) {
	api, backend := startAPI(t)
	h := NewTargets(api, 0)
	if w := ask(h, "GET", TargetsPath); w.Code != http.StatusOK || w.Body.String() != "[]\n" {
		t.Fatalf("without services: %d %s", w.Code, w.Body)
	}
	if err := backend.Register(t.Context(), registry.ServiceInfo{ID: "lib", Name: "api", Address: "10.0.0.9", Port: 80, Status: registry.StatusCritical}); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "the target", func() bool { return ids(targetsOf(t, h, "")) == "lib" })
	if got := targetsOf(t, h, "?service=api")[0]; got.Targets[0] != "10.0.0.9:80" || got.Labels["__meta_rollcall_status"] != "critical" {
		t.Errorf("target %+v", got)
	}
	if got := targetsOf(t, h, "?service=consul"); len(got) != 1 || got[0].Labels["__meta_rollcall_node"] != "n1" {
		t.Errorf("daemons %+v", got)
	}
	if err := backend.Deregister(t.Context(), "lib"); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "the empty list", func() bool { return len(targetsOf(t, h, "")) == 0 })
}
