package balance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// setStatus sets an instance's status.
func setStatus(t testing.TB, r *registry.LocalRegistry, id string, s registry.Status) {
	t.Helper()
	if err := r.SetStatus(context.Background(), id, s, ""); err != nil {
		t.Fatal(err)
	}
}

// TestRequestsInFlightAreCountedThroughChanges has twelve requests in flight to
// each of two instances, changes one in some way that leaves its process alone,
// and expects the next requests to be shared evenly.
func TestRequestsInFlightAreCountedThroughChanges(t *testing.T) {
	again := func(change func(*registry.ServiceInfo)) func(*testing.T, *registry.LocalRegistry) {
		return func(t *testing.T, r *registry.LocalRegistry) {
			s := api("a")
			s.Version, s.Metadata = "1.1.0", map[string]string{"load": "high"}
			if change != nil {
				change(&s)
			}
			register(t, r, s)
		}
	}
	and := func(status registry.Status) func(*testing.T, *registry.LocalRegistry) {
		return func(t *testing.T, r *registry.LocalRegistry) {
			setStatus(t, r, "a", status)
			time.Sleep(time.Minute) // seen by the balancer
			setStatus(t, r, "a", registry.StatusPassing)
		}
	}
	for name, change := range map[string]func(*testing.T, *registry.LocalRegistry){
		"metadata":          again(nil),
		"twice":             func(t *testing.T, r *registry.LocalRegistry) { again(nil)(t, r); synctest.Wait(); again(nil)(t, r) },
		"tags":              again(func(s *registry.ServiceInfo) { s.Tags = []string{"x"} }),
		"warning":           func(t *testing.T, r *registry.LocalRegistry) { setStatus(t, r, "a", registry.StatusWarning) },
		"critical and back": and(registry.StatusCritical),
		"draining and back": func(t *testing.T, r *registry.LocalRegistry) {
			if err := r.Drain(t.Context(), "a"); err != nil {
				t.Error(err)
			}
			if err := r.Undrain(t.Context(), "a"); err != nil {
				t.Error(err)
			}
		},
		"not selected and back": func(t *testing.T, r *registry.LocalRegistry) {
			again(func(s *registry.ServiceInfo) { s.Version = "2.0.0" })(t, r)
			time.Sleep(time.Minute)
			again(nil)(t, r)
		},
		"deregistered and back": func(t *testing.T, r *registry.LocalRegistry) {
			deregister(t, r, "a")
			time.Sleep(time.Minute)
			again(nil)(t, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := api("a"), api("b")
			a.Version, b.Version = "1.0.0", "1.0.0"
			inBubble(t, []Option{WithVersion("^1")}, []registry.ServiceInfo{a, b}, func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
				var held []*Picked
				for range 24 {
					held = append(held, pick(t, b))
				}
				change(t, r)
				synctest.Wait()
				count := map[string]int{}
				for range 24 {
					p := pick(t, b)
					count[p.Instance().ID]++
					held = append(held, p)
				}
				if count["a"] < 10 || count["a"] > 14 {
					t.Errorf("with 12 in flight to each, the next 24 went to %v", count)
				}
				for _, p := range held {
					p.Done(nil)
				}
				for _, e := range b.current.Load().near.endpoints {
					if n := e.inflight.Load(); n != 0 {
						t.Errorf("%d in flight to %s after all have ended", n, e.id)
					}
				}
			})
		})
	}
}

func TestAWeightChangesWhileRequestsAreInFlight(t *testing.T) {
	inBubble(t, nil, []registry.ServiceInfo{weighted("a", 100), weighted("b", 100)}, func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
		var held []*Picked
		for range 200 {
			held = append(held, pick(t, b))
		}
		register(t, r, weighted("a", 300))
		synctest.Wait()
		total := map[string]int{"a": 100, "b": 100}
		for range 200 {
			p := pick(t, b)
			total[p.Instance().ID]++
			held = append(held, p)
		}
		near(t, total, "a", 300)
		near(t, total, "b", 100)
		for _, p := range held {
			p.Done(nil)
		}
	})
}

func TestAnotherAddressIsAnotherProcess(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *registry.LocalRegistry){
		"the same ID elsewhere": func(t *testing.T, r *registry.LocalRegistry) {
			s := api("a")
			s.Port = 8081
			register(t, r, s)
		},
		"another ID there": func(t *testing.T, r *registry.LocalRegistry) {
			s := api("a")
			s.ID = "c"
			register(t, r, s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, []registry.ServiceInfo{api("a")}, func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
				old := pick(t, b)
				change(t, r)
				synctest.Wait()
				p := pick(t, b)
				if n := p.upstream().inflight.Load(); n != 1 {
					t.Errorf("%d in flight to the new one", n)
				}
				old.Done(nil)
				p.Done(nil)
				if len(b.upstreams) != 1 {
					t.Errorf("%d upstreams are kept", len(b.upstreams))
				}
			})
		})
	}
}

func TestNothingIsKeptOfInstancesThatLeft(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
		for i := range 50 {
			id := fmt.Sprint("i", i)
			register(t, r, api(id))
			synctest.Wait()
			p := pick(t, b)
			deregister(t, r, id)
			time.Sleep(time.Second)
			p.Done(nil)
		}
		if len(b.upstreams) != 0 {
			t.Errorf("%d upstreams are kept", len(b.upstreams))
		}
	})
}

// An instance that reports its load in its Metadata does not escape its ejection,
// and one that was restarted is probed at once.
func TestANewRegistrationIsProbedByOneRequest(t *testing.T) {
	inBubble(t, nil, four(), func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
		failing(t, b, 400, errBroken, "a")
		for i := range 3 {
			s := api("a")
			s.Metadata = map[string]string{"load": fmt.Sprint(i)}
			register(t, r, s)
			synctest.Wait()
			if count := failing(t, b, 400, errBroken, "a"); count["a"] != 1 {
				t.Errorf("registration %d, which fails: %v", i, count)
			}
		}
		s := api("a")
		s.Version = "2"
		register(t, r, s)
		synctest.Wait()
		if count := failing(t, b, 400, errBroken); count["a"] < 50 {
			t.Errorf("a registration that does its work: %v", count)
		}
	})
}

// changed waits until the balancer of "api" has taken note of a change.
func changed(t testing.TB, tr *Transport, change func()) {
	t.Helper()
	s := tr.services.Get("api").current.Load()
	change()
	arrives(t, s.changed, "the change to reach the balancer")
}

// arrives waits for a signal.
func arrives[T any](t testing.TB, c <-chan T, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	select {
	case <-c:
	case <-ctx.Done():
		t.Fatalf("waited 20 s for %s", what)
	}
}

// reuses sends a request and reports whether it went over a connection used before.
func reuses(t testing.TB, c *http.Client, url string) (reused bool) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
	})
	resp := getContext(ctx, t, c, url)
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return reused
}

func TestConnectionsStayWhenAnInstanceRegistersAgain(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("HTTP/2=", http2), func(t *testing.T) {
			r := localRegistry(t)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a") }))
			c, tr, url := secure(t, r, s, http2)
			get(t, c, url)
			i := at("a", s.Listener.Addr())
			for n := range 20 {
				i.Weight, i.Metadata = n+1, map[string]string{"load": fmt.Sprint(n)}
				changed(t, tr, func() { register(t, r, i) })
				if !reuses(t, c, url) {
					t.Fatalf("registration %d cost the connection", n)
				}
			}
		})
	}
}

// secure starts a TLS server as the instance "a", and returns a client of it.
func secure(t testing.TB, r *registry.LocalRegistry, s *httptest.Server, http2 bool, options ...Option) (*http.Client, *Transport, string) {
	t.Helper()
	s.EnableHTTP2, s.Config.ErrorLog = http2, quietLog()
	s.StartTLS()
	t.Cleanup(s.Close)
	register(t, r, at("a", s.Listener.Addr()))
	base := s.Client().Transport.(*http.Transport).Clone()
	c, tr := client(t, r, append([]Option{WithTransport(base), WithService("api")}, options...)...)
	return c, tr, "https://example.com/" // which the test server's certificate names
}

// A dead instance whose address a newer registration has taken over.
func TestTheNewerRegistrationOfAnAddressIsCalled(t *testing.T) {
	dead, other := api("dead"), api("other")
	dead.Version, other.Version = "1.0.0", "1.0.0"
	heir := dead
	heir.ID, heir.Version = "heir", "2.0.0"
	services := []registry.ServiceInfo{dead, other, heir}
	inBubble(t, nil, services, func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
		count := shares(t, b, 2000, nil)
		if count["dead"] != 0 {
			t.Errorf("the dead one is called: %v", count)
		}
		near(t, count, "heir", 1000)
	})
	inBubble(t, []Option{WithVersion("^1")}, services, func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
		if count := shares(t, b, 100, nil); count["other"] != 100 {
			t.Errorf("a range that leaves out the newer one: %v", count)
		}
		deregister(t, r, "heir")
		synctest.Wait()
		if count := shares(t, b, 100, nil); count["dead"] == 0 {
			t.Errorf("after the newer one left: %v", count)
		}
	})
	inBubble(t, nil, services, func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
		setStatus(t, r, "heir", registry.StatusCritical)
		deregister(t, r, "other")
		synctest.Wait()
		_, err := b.Pick(t.Context())
		if want := "a newer registration has the address of each"; !errors.Is(err, ErrNoInstances) || !strings.Contains(err.Error(), want) {
			t.Errorf("an address whose newest instance is critical: %v, want %q", err, want)
		}
	})
}
