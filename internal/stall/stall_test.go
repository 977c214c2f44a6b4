package stall

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(spinEnv) != "" {
		for begun := time.Now(); time.Since(begun) < spinTime; {
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// spinEnv makes the test binary a process that computes for spinTime.
const (
	spinEnv  = "ROLLCALL_STALL_SPIN"
	spinTime = 300 * time.Millisecond
)

func TestGapsCountWhereTheyOverlap(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(1_000_000 + ms)) }
	m := &meter{tests: map[testing.TB]*measured{t: {name: "T"}}, due: time.Now().Add(time.Hour),
		stalls: []overslept{{at(100), at(150)}, {at(300), at(400)}}}
	for _, test := range []struct {
		from, to int
		want     time.Duration
	}{
		{0, 50, 0}, {0, 120, 20 * time.Millisecond}, {0, 1000, 150 * time.Millisecond},
		{120, 350, 80 * time.Millisecond}, {150, 300, 0}, {320, 330, 10 * time.Millisecond}, {400, 1000, 0},
	} {
		if got := m.between("T", at(test.from), at(test.to)); got != test.want {
			t.Errorf("from %d to %d ms the stall is %s, want %s", test.from, test.to, got, test.want)
		}
	}
}

func TestRunDelayIsRoundedOutward(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	p := &process{pid: "none", looks: []reading{{at(0), 0}, {at(100), 3}, {at(200), 5}, {at(300), 11}}}
	for _, test := range []struct {
		from, to int
		want     time.Duration
	}{
		{0, 100, 3}, {50, 100, 3}, {100, 200, 2}, {150, 250, 8}, {210, 220, 6}, {-50, 300, 11}, {300, 400, 0},
	} {
		if got := p.between(at(test.from), at(test.to), at(1000)); got != test.want {
			t.Errorf("from %d to %d ms the run delay is %d, want %d", test.from, test.to, got, test.want)
		}
	}
}

func TestRelatedTests(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{{"A", "A", true}, {"A", "A/b", true}, {"A/b", "A", true}, {"A/b", "A/c", false}, {"A", "AB", false}} {
		if got := related(test.a, test.b); got != test.want {
			t.Errorf("related(%q, %q) = %t", test.a, test.b, got)
		}
	}
}

// While every processor is taken by this process's own goroutines, the sampler
// wakes late, and that is a stall.
func TestOversleepingIsAStall(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	Measure(t)
	from := time.Now()
	// Until it is seen: a goroutine that computes is interrupted after 10 ms.
	for Since(t, from) == 0 {
		if time.Since(from) > 10*time.Second {
			t.Fatal("a busy processor was no stall in 10 s")
		}
		for begun := time.Now(); time.Since(begun) < 50*time.Millisecond; {
		}
	}
	if stalled, all := Since(t, from), time.Since(from); stalled > all {
		t.Errorf("the stall of %s is %s", all, stalled)
	}
}

// The greatest stall of a window is kept, also when the machine runs again.
func TestGreatestStallOfAWindow(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(1_000_000 + ms)) }
	test := &measured{name: "T", from: at(0)}
	m := &meter{tests: map[testing.TB]*measured{t: test}, due: time.Now().Add(time.Hour),
		stalls: []overslept{{at(100), at(150)}, {at(300), at(400)}, {at(2000), at(3800)}}}
	for _, step := range []struct {
		now  int
		want time.Duration
	}{{50, 0}, {200, 50 * time.Millisecond}, {420, 150 * time.Millisecond}, {1500, 150 * time.Millisecond}, {3900, 400 * time.Millisecond}, {5000, 400 * time.Millisecond}} {
		if m.noteWindow(test, at(step.now)); test.most != step.want {
			t.Errorf("after %d ms the greatest stall is %s, want %s", step.now, test.most, step.want)
		}
	}
}

// Three processes that share one processor are kept waiting, each for the others.
func TestProcessesThatShareAProcessorAreStalled(t *testing.T) {
	var running []*exec.Cmd
	for range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), spinEnv+"=1", "GOMAXPROCS=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		running = append(running, cmd)
	}
	runtime.LockOSThread() // the parent in the kernel's sense
	defer runtime.UnlockOSThread()
	var pids []int
	for _, cmd := range running {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, cmd.Process.Pid)
	}
	from := time.Now()
	Measure(t, pids...)
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if runtime.NumCPU() < 3 && Since(t, from) == 0 {
		t.Error("three processes on fewer processors were never kept waiting")
	}
	if stalled, all := Since(t, from), time.Since(from); stalled > 2*all {
		t.Errorf("the stall of %s is %s", all, stalled)
	}
}

// A test that ends frees the sampler, and a next one has its own.
func TestSamplerEndsWithTheLastTest(t *testing.T) {
	for range 2 {
		t.Run("part", func(t *testing.T) {
			Measure(t)
			Measure(t, os.Getpid())
			if len(shared.tests) != 1 {
				t.Fatalf("%d tests measure, want one", len(shared.tests))
			}
		})
		if len(shared.tests) != 0 {
			t.Fatal("the test has ended and measures still")
		}
		if err := goleak.Find(); err != nil && strings.Contains(err.Error(), "sample") {
			t.Fatal(err)
		}
	}
}
