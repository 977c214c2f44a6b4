package consulapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// Reads of names that do not exist keep no bound name from being served: neither those of
// the catalog, nor new ones, nor one that a query waits for.
func TestReadsOfManyNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		d.hub.room = 10
		first := d.must("GET", "/v1/health/service/awaited", "")
		waiting := d.blocked(fmt.Sprintf("/v1/health/service/awaited?index=%d", first.index()))
		synctest.Wait()
		for n := range 50 {
			if a := d.do("GET", fmt.Sprintf("/v1/health/service/none-%d", n), ""); a.code != http.StatusOK {
				t.Fatalf("the %dth name: %d %s", n, a.code, a.body)
			}
		}
		for n := range 30 {
			d.register(fmt.Sprintf(`{"Name":"real-%d","Port":1}`, n))
		}
		d.must("GET", "/v1/catalog/services", "")
		synctest.Wait()
		services, _ := readAs[map[string][]string](d, "/v1/catalog/services")
		if len(services) != 31 { // and consul
			t.Errorf("%d services: %v", len(services), services)
		}
		d.hub.mu.Lock()
		if got, most := len(d.hub.services), d.hub.room+len(d.hub.listed)+2; got > most {
			t.Errorf("%d names are watched, more than %d", got, most)
		}
		d.hub.mu.Unlock()
		d.register(`{"Name":"awaited","Port":1}`)
		if a := <-waiting; !strings.Contains(a.body, `"awaited"`) {
			t.Errorf("woken with %s", a.body)
		}
	})
}

// A name that no service can have has no instances.
func TestReadsOfAnInvalidName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		if a := d.must("GET", "/v1/health/service/"+strings.Repeat("x", 2000), ""); strings.TrimSpace(a.body) != "[]" {
			t.Errorf("%s", a.body)
		}
	})
}

// An output that looks like more checks forges none.
func TestAnOutputForgesNoCheck(t *testing.T) {
	ids := []string{"a", "b"}
	for _, output := range []string{"| b passing", "x | b passing", "x | | b passing", "x |", "|", "| _service_maintenance:x critical"} {
		note := encodeNote(ids, map[string]checkState{"a": {"critical", output}, "b": {"warning", ""}})
		got := decodeNote(note, func(id string) bool { return id == "a" || id == "b" })
		if len(got) != 2 || got["a"].Status != "critical" || got["b"].Status != "warning" {
			t.Errorf("%q: %q is read as %v", output, note, got)
		}
	}
}

// A check that is registered again as it is writes nothing, and its service's queries wait on.
func TestACheckThatIsRegisteredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		d.register(`{"Name":"web","Port":1,"Check":{"TTL":"1h","Status":"passing"}}`)
		for _, id := range []string{"one", "two"} {
			d.must("PUT", "/v1/agent/check/register", `{"Name":"`+id+`","ServiceID":"web","TTL":"1h","Status":"passing"}`)
		}
		before := d.must("GET", "/v1/health/service/web", "")
		d.must("PUT", "/v1/agent/check/register", `{"Name":"one","ServiceID":"web","TTL":"1h","Status":"passing"}`)
		synctest.Wait()
		if after := d.must("GET", "/v1/health/service/web", ""); after.index() != before.index() {
			t.Errorf("index %d after %d", after.index(), before.index())
		}
	})
}

// The bound of blocking queries counts those that wait for a hash too.
func TestQueriesWithAHashAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		d.API.blocked = make(chan struct{}, 1)
		d.register(`{"Name":"api","Port":1}`)
		hash := d.must("GET", "/v1/agent/service/api", "").header.Get("X-Consul-ContentHash")
		waiting := d.blocked("/v1/agent/service/api?wait=1m&hash=" + hash)
		synctest.Wait()
		if a := d.do("GET", "/v1/agent/service/api?wait=1m&hash="+hash, ""); a.code != http.StatusTooManyRequests {
			t.Errorf("one too many: %d", a.code)
		}
		<-waiting
		if n := d.Blocked(); n != 0 {
			t.Errorf("%d wait", n)
		}
	})
}
