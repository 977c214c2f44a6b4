package consulapi

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The checks of a node stand in the answers about its services, so a change of them wakes
// the queries about these, and no others.
func TestAChangeOfANodeWakesQueriesAboutItsServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		d.register(`{"Name":"api","Port":1}`)
		d.must("PUT", "/v1/catalog/register", `{"Node":"ext","Address":"10.0.0.9","Service":{"Service":"db","Port":5432}}`)
		d.must("GET", "/v1/health/service/db", "")
		synctest.Wait()
		db := d.must("GET", "/v1/health/service/db", "")
		elsewhere := d.blocked(fmt.Sprintf("/v1/health/service/db?index=%d", db.index()))
		for _, enable := range []bool{true, false} {
			before := d.must("GET", "/v1/health/service/api?passing", "")
			waiting := d.blocked(fmt.Sprintf("/v1/health/service/api?passing&wait=1m&index=%d", before.index()))
			synctest.Wait()
			began := time.Now()
			d.must("PUT", fmt.Sprintf("/v1/agent/maintenance?enable=%t", enable), "")
			woken := <-waiting
			if empty := strings.TrimSpace(woken.body) == "[]"; time.Since(began) > 5*time.Second || woken.index() <= before.index() || empty != enable {
				t.Errorf("maintenance %t: after %s, index %d after %d: %s", enable, time.Since(began), woken.index(), before.index(), woken.body)
			}
		}
		select {
		case a := <-elsewhere:
			t.Errorf("a service of another node woke: %s", a.body)
		default:
		}
	})
}

// A query about nodes wakes when what a node says of itself changes.
func TestNodesWakeForTheirMeta(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		d.must("PUT", "/v1/catalog/register", `{"Node":"ext","Address":"10.0.0.9"}`)
		d.must("GET", "/v1/catalog/nodes", "")
		synctest.Wait()
		before := d.must("GET", "/v1/catalog/nodes", "")
		waiting := d.blocked(fmt.Sprintf("/v1/catalog/nodes?wait=1m&index=%d", before.index()))
		synctest.Wait()
		began := time.Now()
		d.must("PUT", "/v1/catalog/register", `{"Node":"ext","Address":"10.0.0.9","NodeMeta":{"rack":"7"}}`)
		if woken := <-waiting; time.Since(began) > 5*time.Second || !strings.Contains(woken.body, `"rack":"7"`) {
			t.Errorf("after %s: %s", time.Since(began), woken.body)
		}
	})
}
