package consulapi

import (
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/waittest"
)

// TestCheckIDsThatDivideNotes checks that the state of a check is read back whatever
// its ID contains.
func TestCheckIDsThatDivideNotes(t *testing.T) {
	b := localBackend(t)
	d, other := start(t, b, "n1"), start(t, b, "n2")
	d.register(`{"Name":"web","ID":"w1","Port":80,"Check":{"TTL":"10m","Status":"passing"}}`)
	want := map[string]string{"service:w1": "passing"}
	for _, id := range []string{"API: up", "a | b", "50% used: %20", " | ", "%25", "web passing: x"} {
		d.must("PUT", "/v1/agent/check/register", `{"Name":"`+id+`","ServiceID":"w1","TTL":"10m","Status":"warning"}`)
		want[id] = "warning"
	}
	for _, reader := range []*daemon{d, other} {
		waittest.Eventually(t, "the states of all checks as they are", func() bool { return maps.Equal(statuses(reader.health("web")[0]), want) })
	}
}

// TestEmptyTags checks that a registration with an empty tag is taken.
func TestEmptyTags(t *testing.T) {
	d := start(t, localBackend(t), "n1")
	d.register(`{"Name":"web","ID":"w1","Port":80,"Tags":[""]}`)
	d.register(`{"Name":"web","ID":"w2","Port":80,"Tags":["a","","b"]}`)
	list := d.health("web")
	if len(list) != 2 || len(list[0].Service.Tags) != 0 || list[0].Service.Tags == nil || len(list[1].Service.Tags) != 2 {
		t.Errorf("tags: %+v", list)
	}
}

// TestServicesFilterFields checks that a filter of catalog/services selects by what
// catalog/service shows.
func TestServicesFilterFields(t *testing.T) {
	d := start(t, localBackend(t), "n1")
	d.register(`{"Name":"web","ID":"w1","Port":80,"Address":"10.0.0.1"}`)
	for _, filter := range []string{`ServiceID == "w1"`, `ServicePort == 80`, `ServiceAddress == "10.0.0.1"`, `ServiceWeights.Passing == 1 and ServiceName == web`} {
		got, _ := readAs[map[string][]string](d, "/v1/catalog/services?filter="+url.QueryEscape(filter))
		if len(got) != 1 || got["web"] == nil {
			t.Errorf("%s: %v", filter, got)
		}
	}
}

// TestHealthServiceShowsKind checks that health/service shows what agent/service does of
// a proxy.
func TestHealthServiceShowsKind(t *testing.T) {
	d := start(t, localBackend(t), "n1")
	d.register(`{"Name":"web-proxy","ID":"p1","Port":80,"Kind":"connect-proxy","Proxy":{"DestinationServiceName":"web"}}`)
	list := d.health("web-proxy")
	if len(list) != 1 || list[0].Service.Kind != "connect-proxy" || !strings.Contains(string(list[0].Service.Proxy), `"web"`) {
		t.Errorf("got %+v", list)
	}
}
