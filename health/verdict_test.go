package health_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
)

const (
	pas = registry.StatusPassing
	war = registry.StatusWarning
	cri = registry.StatusCritical
)

func TestVerdictTakesFallAndRise(t *testing.T) {
	var log bytes.Buffer
	options := settings{Fall: 3, Rise: 2, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	bubble(t, options, func(t *testing.T, c *health.Checker, w *written, p *patient) {
		ctx := t.Context()
		must(t, c.Register(ctx, asked("a")))
		for len(p.times()) < 3 {
			pass1()
		}
		if got := w.statuses(); len(got) != 0 {
			t.Fatalf("a healthy instance had its status set: %v", got)
		}
		// until lets just as many probes pass.
		until := func(n int) {
			for start := len(p.times()); len(p.times()) < start+n; {
				pass1()
			}
		}
		p.set(health.Critical("disk\nfull"))
		until(2)
		if callable(t, c) != 1 {
			t.Fatal("critical before Fall")
		}
		until(1)
		if callable(t, c) != 0 {
			t.Fatal("not critical after Fall")
		}
		list, err := c.Instances(ctx, "api")
		must(t, err)
		if list[0].Status != cri || list[0].Note != "disk full" {
			t.Fatalf("instance is %+v", list[0])
		}
		p.set(health.Warning("slow"))
		until(1)
		if callable(t, c) != 0 {
			t.Fatal("back before Rise")
		}
		until(1)
		if callable(t, c) != 1 {
			t.Fatal("not back after Rise")
		}
		p.set(health.Passing("fine"))
		until(5)
		if got, want := w.statuses(), []registry.Status{cri, war, pas}; !slices.Equal(got, want) {
			t.Fatalf("set %v, want %v: only changes", got, want)
		}
	})
	for _, want := range []string{"level=WARN", "from=passing to=critical", `note="disk full"`, "from=critical to=warning", "from=warning to=passing", "service=api id=a"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &log)
		}
	}
}

func TestInitialStatus(t *testing.T) {
	options := settings{InitialStatus: cri}
	bubble(t, options, func(t *testing.T, c *health.Checker, w *written, p *patient) {
		p.set(health.Critical("starting"))
		must(t, c.Register(t.Context(), asked("a")))
		unprobed := registry.ServiceInfo{ID: "b", Name: "api", Address: "10.0.0.2", Port: 80}
		must(t, c.Register(t.Context(), unprobed))
		named := asked("c")
		named.Status = war
		must(t, c.Register(t.Context(), named))
		list, err := c.Discover(t.Context(), "api")
		must(t, err)
		if len(list) != 2 || list[0].ID != "b" || list[1].Status != war {
			t.Fatalf("callable are %+v, want b, and c as registered", list)
		}
		p.set(health.Passing(""))
		pass(1)
		if callable(t, c) != 3 {
			t.Fatal("not all callable after a success")
		}
	})
}

func TestDrainingIsNoneOfItsBusiness(t *testing.T) {
	bubble(t, settings{Fall: 1}, func(t *testing.T, c *health.Checker, w *written, p *patient) {
		must(t, c.Register(t.Context(), asked("a")))
		pass(1)
		must(t, c.Drain(t.Context(), "a"))
		p.set(health.Critical("down"))
		pass(2)
		p.set(health.Passing("up"))
		pass(2)
		if callable(t, c) != 0 {
			t.Fatal("a passing probe ended a drain")
		}
		must(t, c.Undrain(t.Context(), "a"))
		if callable(t, c) != 1 {
			t.Fatal("not callable after Undrain")
		}
	})
}

func TestOddResultsAreMadeFit(t *testing.T) {
	for _, test := range []struct {
		result health.Result
		status registry.Status
		note   string
	}{
		{health.Result{Status: "great"}, cri, `the probe answered with status "great"`},
		{health.Result{Status: registry.StatusDraining}, cri, `the probe answered with status "draining"`},
		{health.Critical("a\x00b\xff\u0085c"), cri, "a b c"},
		{health.Warning(strings.Repeat("é", 5000)), war, strings.Repeat("é", 126) + "…"},
	} {
		bubble(t, settings{Fall: 1}, func(t *testing.T, c *health.Checker, w *written, p *patient) {
			p.set(test.result)
			must(t, c.Register(t.Context(), asked("a")))
			pass(1)
			list, err := c.Instances(t.Context(), "api")
			must(t, err)
			if list[0].Status != test.status || list[0].Note != test.note {
				t.Errorf("%+v became status %q, note %q", test.result, list[0].Status, list[0].Note)
			}
		})
	}
}
