package prometheus

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkTargets compares an answer with a bare handler that writes the same bytes, over
// TCP: 100 services of 10 instances each.
func BenchmarkTargets(b *testing.B) {
	api, backend := startAPI(b)
	for n := range 1000 {
		err := backend.Register(b.Context(), registry.ServiceInfo{
			ID: fmt.Sprintf("instance-%d", n), Name: fmt.Sprintf("service-%d", n%100), Address: "10.0.0.1", Port: 1000 + n,
			Version: "1.2.3", Tags: []string{"blue"}, Metadata: map[string]string{"zone": "eu-1"},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	h := NewTargets(api, 0)
	var body []byte
	waittest.Eventually(b, "all targets", func() bool {
		l, err := h.list(b.Context(), selection{})
		if err == nil {
			body = l.body
		}
		return err == nil && len(l.services) == 100
	})
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})
	for _, c := range []struct {
		name, query string
		handler     http.Handler
	}{{"bare", "", bare}, {"all", "", h}, {"one", "?service=service-7", h}, {"tag", "?tag=blue", h}} {
		b.Run("tcp/"+c.name, func(b *testing.B) { overTCP(b, c.handler, TargetsPath+c.query) })
		b.Run("handler/"+c.name, func(b *testing.B) {
			w, r := &discard{make(http.Header)}, httptest.NewRequest("GET", TargetsPath+c.query, nil)
			b.ReportAllocs()
			for b.Loop() {
				c.handler.ServeHTTP(w, r)
			}
		})
	}
	full, err := h.list(b.Context(), selection{})
	if err != nil {
		b.Fatal(err)
	}
	changed := *full
	changed.services = slices.Clone(full.services)
	state := *full.services[0]
	changed.services[0] = &state
	for name, old := range map[string]*targetList{"everything": nil, "one service": full} {
		b.Run("encode/"+name, func(b *testing.B) {
			for b.Loop() {
				changed.body, changed.ends = nil, nil
				if err := changed.encode(selection{}, old); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func overTCP(b *testing.B, h http.Handler, path string) {
	s := httptest.NewServer(h)
	defer s.Close()
	for b.Loop() {
		response, err := s.Client().Get(s.URL + path)
		if err != nil {
			b.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK {
			b.Fatalf("%s: %v", response.Status, err)
		}
	}
}
