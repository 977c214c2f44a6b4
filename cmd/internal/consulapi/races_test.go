package consulapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

// hooked is a backend whose writes a test holds or fails.
type hooked struct {
	registry.Backend
	register  atomic.Pointer[func()]
	setStatus atomic.Pointer[func(error) error]
}

func (h *hooked) Register(ctx context.Context, s registry.ServiceInfo) error {
	if f := h.register.Load(); f != nil {
		(*f)()
	}
	return h.Backend.Register(ctx, s)
}

func (h *hooked) SetStatus(ctx context.Context, id string, status registry.Status, note string) error {
	err := h.Backend.SetStatus(ctx, id, status, note)
	if f := h.setStatus.Load(); f != nil {
		return (*f)(err)
	}
	return err
}

// holdRegister makes the next Register wait until release is called.
func (h *hooked) holdRegister() (release func()) {
	held := make(chan struct{})
	wait := func() { <-held }
	h.register.Store(&wait)
	return func() {
		h.register.Store(nil)
		close(held)
	}
}

const registerWeb = `{"Name":"web","Port":1,"Check":{"TTL":"1h","Status":"passing"}}`

func (d *daemon) webStatus() string {
	d.t.Helper()
	list := d.health("web")
	if len(list) != 1 {
		d.t.Fatalf("%d instances of web", len(list))
	}
	return statuses(list[0])["service:web"]
}

// An update that gives up waiting for a registration to be written is published after it.
func TestAnUpdateDuringARegistrationIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &hooked{Backend: localBackend(t)}
		d := start(t, backend, "n1")
		d.register(registerWeb)
		release := backend.holdRegister()
		go d.do("PUT", "/v1/agent/service/register", strings.Replace(registerWeb, `"Port":1`, `"Port":2`, 1))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if a := d.doWith(ctx, "PUT", "/v1/agent/check/fail/service:web", ""); a.code != http.StatusInternalServerError {
			t.Fatalf("the update: %d %s", a.code, a.body)
		}
		release()
		time.Sleep(10 * retryPause)
		if got := d.webStatus(); got != "critical" {
			t.Errorf("the check is %s", got)
		}
	})
}

// A write whose answer was lost may have been made. A check that is as it was before is
// published nevertheless.
func TestAStatusWhoseAnswerWasLostIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &hooked{Backend: localBackend(t)}
		d := start(t, backend, "n1")
		d.register(registerWeb)
		lost := func(error) error { return registry.ErrUnavailable }
		backend.setStatus.Store(&lost)
		if a := d.do("PUT", "/v1/agent/check/fail/service:web", ""); a.code != http.StatusInternalServerError {
			t.Fatalf("the update: %d %s", a.code, a.body)
		}
		backend.setStatus.Store(nil)
		d.must("PUT", "/v1/agent/check/pass/service:web", "")
		time.Sleep(10 * retryPause)
		synctest.Wait()
		if got := d.webStatus(); got != "passing" {
			t.Errorf("the check is %s", got)
		}
	})
}

// A replacement whose status could not be written is kept, with the status later.
func TestAReplacementWithoutItsStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &hooked{Backend: localBackend(t)}
		d := start(t, backend, "n1")
		d.register(registerWeb)
		failing := func(error) error { return errors.Join(registry.ErrUnavailable) }
		backend.setStatus.Store(&failing)
		next := `{"Name":"web","Port":2,"Checks":[{"TTL":"1h","CheckID":"service:web"},{"TTL":"1h","CheckID":"other"}]}`
		if a := d.do("PUT", "/v1/agent/service/register", next); a.code != http.StatusInternalServerError {
			t.Fatalf("the replacement: %d %s", a.code, a.body)
		}
		backend.setStatus.Store(nil)
		d.register(registerWeb)
		time.Sleep(10 * retryPause)
		synctest.Wait()
		if list := d.health("web"); len(list) != 1 || list[0].Service.Port != 1 {
			t.Errorf("registered again as before: %+v", list)
		}
	})
}

// Maintenance that is set while the service registers again stays.
func TestMaintenanceDuringARegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &hooked{Backend: localBackend(t)}
		d := start(t, backend, "n1")
		d.register(registerWeb)
		release := backend.holdRegister()
		go d.do("PUT", "/v1/agent/service/register", strings.Replace(registerWeb, `"Port":1`, `"Port":2`, 1))
		synctest.Wait()
		answered := make(chan answer, 1)
		go func() { answered <- d.do("PUT", "/v1/agent/service/maintenance/web?enable=true", "") }()
		synctest.Wait()
		release()
		if a := <-answered; a.code != http.StatusOK {
			t.Fatalf("maintenance: %d %s", a.code, a.body)
		}
		if list := d.health("web?passing"); len(list) != 0 {
			t.Errorf("in maintenance: %+v", list)
		}
	})
}

// A check that is removed while its service registers again does not undo that.
func TestRemovingACheckDuringARegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &hooked{Backend: localBackend(t)}
		d := start(t, backend, "n1")
		d.register(registerWeb)
		release := backend.holdRegister()
		go d.do("PUT", "/v1/agent/service/register", strings.Replace(registerWeb, `"Port":1`, `"Port":2`, 1))
		synctest.Wait()
		removed := make(chan answer, 1)
		go func() {
			removed <- d.do("PUT", "/v1/catalog/deregister", `{"Node":"n1","ServiceID":"web","CheckID":"service:web"}`)
		}()
		synctest.Wait()
		release()
		if a := <-removed; a.code != http.StatusOK {
			t.Fatalf("%d %s", a.code, a.body)
		}
		if list := d.health("web"); len(list) != 1 || list[0].Service.Port != 2 {
			t.Errorf("%+v", list)
		}
	})
}

// A TTL that ran out just before an update does not undo the update.
func TestAnUpdateAfterTheTimerFired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := start(t, localBackend(t), "n1")
		d.register(strings.Replace(registerWeb, "1h", "10s", 1))
		c := d.agent.check("service:web")
		time.Sleep(9 * time.Second)
		d.must("PUT", "/v1/agent/check/pass/service:web", "")
		d.agent.expire(c) // as of a timer that fired before the update
		if got := d.webStatus(); got != "passing" {
			t.Errorf("the check is %s", got)
		}
		time.Sleep(11 * time.Second)
		if got := d.webStatus(); got != "critical" {
			t.Errorf("the check is %s", got)
		}
	})
}

// A service whose check recovers while its removal waits for a registration stays.
func TestAServiceThatRecoversIsNotReaped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &hooked{Backend: localBackend(t)}
		d := start(t, backend, "n1")
		body := `{"Name":"web","Port":1,"Check":{"TTL":"1h","DeregisterCriticalServiceAfter":"1m"}}`
		d.register(body)
		time.Sleep(59 * time.Second)
		release := backend.holdRegister()
		go d.do("PUT", "/v1/agent/service/register", strings.Replace(body, `"Port":1`, `"Port":2`, 1))
		time.Sleep(2 * time.Second)
		go d.do("PUT", "/v1/agent/check/pass/service:web", "")
		synctest.Wait()
		release()
		time.Sleep(10 * time.Second)
		if got := d.webStatus(); got != "passing" {
			t.Errorf("the check is %s", got)
		}
	})
}

// The daemon that wrote a node of the catalog last keeps it alive. The one before gives
// it up.
func TestACatalogNodeWrittenThroughTwoDaemons(t *testing.T) {
	s := redistest.Start(t)
	one, two := start(t, onRedis(t, s), "n1"), start(t, onRedis(t, s), "n2")
	body := `{"Node":"ext","Address":"10.0.0.9","Service":{"Service":"db","Port":5432}}`
	one.must("PUT", "/v1/catalog/register", body)
	two.must("PUT", "/v1/catalog/register", strings.Replace(body, "5432", "5433", 1))
	waittest.Eventually(t, "the first daemon to give it up", func() bool { return one.agent.find(catalogKey("ext", "db")) == nil })
	for _, d := range []*daemon{one, two} {
		waittest.Eventually(t, "one instance", func() bool {
			list := d.health("db")
			return len(list) == 1 && list[0].Service.Port == 5433
		})
	}
}
