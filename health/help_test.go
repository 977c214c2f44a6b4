package health_test

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

var quiet = slog.New(slog.DiscardHandler)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// settings are options as a value, which tests derive from one another. Zero fields
// are defaults.
type settings struct {
	Interval, Timeout       time.Duration
	Rise, Fall, Concurrency int
	InitialStatus           registry.Status
	Logger                  *slog.Logger
	Client                  *http.Client
	Host                    func(registry.ServiceInfo) string
	Probes                  map[string]health.Probe
}

// check returns a Checker with these settings.
func check(t testing.TB, backend registry.Backend, s settings) *health.Checker {
	t.Helper()
	var options []health.Option
	add := func(set bool, o func() health.Option) {
		if set {
			options = append(options, o())
		}
	}
	add(s.Interval != 0, func() health.Option { return health.WithInterval(s.Interval) })
	add(s.Timeout != 0, func() health.Option { return health.WithTimeout(s.Timeout) })
	add(s.Rise != 0, func() health.Option { return health.WithRise(s.Rise) })
	add(s.Fall != 0, func() health.Option { return health.WithFall(s.Fall) })
	add(s.Concurrency != 0, func() health.Option { return health.WithConcurrency(s.Concurrency) })
	add(s.InitialStatus != "", func() health.Option { return health.WithInitialStatus(s.InitialStatus) })
	add(s.Logger != nil, func() health.Option { return health.WithLogger(s.Logger) })
	add(s.Client != nil, func() health.Option { return health.WithHTTPClient(s.Client) })
	add(s.Host != nil, func() health.Option { return health.WithHost(s.Host) })
	for scheme, probe := range s.Probes {
		options = append(options, health.WithProbe(scheme, probe))
	}
	c, err := health.New(backend, options...)
	must(t, err)
	return c
}

// patient is asked on demand: a probe that answers what the test says.
type patient struct {
	mu     sync.Mutex
	result health.Result
	asked  []time.Time
}

func (p *patient) set(r health.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.result = r
}

func (p *patient) probe(context.Context, health.Target) health.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, time.Now())
	return p.result
}

// notAskedAgain fails the test if the patient is asked within the next intervals.
func (p *patient) notAskedAgain(t testing.TB, why string) {
	t.Helper()
	n := len(p.times())
	pass(5)
	if more := len(p.times()) - n; more != 0 {
		t.Errorf("%d probes %s", more, why)
	}
}

func (p *patient) times() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]time.Time(nil), p.asked...)
}

// written records the statuses that are set through a backend.
type written struct {
	registry.Backend
	mu  sync.Mutex
	set []registry.Status
}

func (w *written) SetStatus(ctx context.Context, id string, status registry.Status, note string) error {
	err := w.Backend.SetStatus(ctx, id, status, note)
	if err == nil {
		w.mu.Lock()
		w.set = append(w.set, status)
		w.mu.Unlock()
	}
	return err
}

func (w *written) statuses() []registry.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]registry.Status(nil), w.set...)
}

// bubble runs a test in a synctest bubble, on memory, with a patient behind "ask:".
func bubble(t *testing.T, options settings, test func(t *testing.T, c *health.Checker, w *written, p *patient)) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{result: health.Passing("fine")}
		w := &written{Backend: registry.NewLocalRegistry()}
		options.Probes = map[string]health.Probe{"ask": p.probe}
		if options.Logger == nil {
			options.Logger = quiet
		}
		c := check(t, w, options)
		defer c.Close()
		test(t, c, w, p)
	})
}

// probed is an instance of "api" with a HealthEndpoint.
func probed(id, endpoint string) registry.ServiceInfo {
	return registry.ServiceInfo{ID: id, Name: "api", Address: "10.0.0.1", Port: 80, HealthEndpoint: endpoint}
}

func asked(id string) registry.ServiceInfo { return probed(id, "ask:me") }

func callable(t testing.TB, b registry.Backend) int {
	t.Helper()
	now, err := b.Snapshot(t.Context(), "api")
	must(t, err)
	return len(now.Instances)
}

// pass lets n whole intervals go by, so n probes or, as jitter shortens, up to a quarter more.
func pass(n int) {
	time.Sleep(time.Duration(n) * health.DefaultInterval)
	synctest.Wait()
}

// await waits until the watch of "api" shows what ok accepts.
func await(t testing.TB, b registry.Watcher, what string, ok func(registry.Snapshot) bool) registry.Snapshot {
	t.Helper()
	return waittest.State(t, func(ctx context.Context) iter.Seq[registry.Snapshot] { return b.Watch(ctx, "api") }, what, ok)
}

func passing(n int) func(registry.Snapshot) bool {
	return func(s registry.Snapshot) bool { return s.Stale == nil && len(s.Instances) == n }
}

func critical(n int) func(registry.Snapshot) bool {
	return func(s registry.Snapshot) bool {
		count := 0
		for _, other := range s.Others {
			if other.Status == registry.StatusCritical {
				count++
			}
		}
		return s.Stale == nil && count == n
	}
}
