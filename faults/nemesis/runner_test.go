package nemesis

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opener opens a registry: the library's or a mutant.
type opener func(ctx context.Context, cfg registry.RedisRegistryConfig) (registry.Backend, error)

func openReal(ctx context.Context, cfg registry.RedisRegistryConfig) (registry.Backend, error) {
	r, err := registry.NewRedisRegistry(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// runner runs a plan.
type runner struct {
	t       *testing.T
	plan    *Plan
	history *History
	open    opener
	server  *redistest.Server
	proxies map[string]*faultnet.Proxy

	ctx    context.Context // ends with the plan
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	members map[string]*member // open clients, by proxy
	opened  map[string]int
	tokens  int
}

// member is an open client.
type member struct {
	registry.Backend
	client *Client
}

// runPlan runs a plan on real servers and returns the history.
func runPlan(t *testing.T, plan *Plan, open opener) *History {
	w := &runner{t: t, plan: plan, open: open, server: redistest.Start(t, redistest.WithAppendOnly()),
		proxies: map[string]*faultnet.Proxy{}, members: map[string]*member{}, opened: map[string]int{}}
	settings := append(append([]Setting{}, plan.Owners...), plan.Readers...)
	for _, s := range settings {
		w.proxies[s.Proxy] = faultnet.New(t, w.server.Addr())
	}
	w.history = NewHistory(plan.Seed)
	w.ctx, w.cancel = context.WithCancel(context.Background())
	defer w.cancel()
	w.wg.Go(w.measure)
	for _, s := range settings {
		if w.openClient(w.ctx, s) == nil {
			t.Fatalf("%s cannot open a registry on a healthy server", s.Proxy)
		}
	}
	canary, stop := context.WithCancel(context.Background())
	defer stop()
	w.wg.Go(func() { w.canary(canary) })
	for _, moves := range plan.Slots {
		w.wg.Go(func() { w.slot(moves) })
	}
	for i, s := range settings {
		w.wg.Go(func() { w.read(i, s.Proxy) })
	}
	for _, s := range plan.Readers {
		for _, service := range plan.Services {
			w.wg.Go(func() { w.watch(s.Proxy, service) })
		}
	}
	w.wg.Go(func() { w.recordCache(plan.Readers[0].Proxy) })
	w.wg.Go(func() { w.watchBriefly(plan.Readers[1].Proxy) })
	w.wg.Go(w.injectProxyFaults)
	w.wg.Go(w.crashOwners)
	w.injectServerFaults()
	<-w.ctx.Done()
	w.history.Finish()
	stop()
	w.wg.Wait()
	for _, m := range w.members {
		if err := m.Close(); err != nil {
			t.Errorf("closing %s: %v", m.client.Name, err)
		}
	}
	return w.history
}

// maxExtra bounds by how much a plan is extended for the machine's stall.
const maxExtra = 10 * second

// measure records the machine's stall. It ends the plan after its duration plus
// the stall, so that what must happen had the time to.
func (w *runner) measure() {
	begun := time.Now()
	from, last := begun, w.history.Now()
	var extra time.Duration
	for w.pause(w.ctx, 20*time.Millisecond) {
		to, now := time.Now(), w.history.Now()
		if stalled := stall.Between(w.t, from, to); stalled > 0 {
			w.history.AddStall(MeasuredStall{From: last, To: now, For: stalled})
			extra += stalled
		}
		from, last = to, now
		if to.Sub(begun) > w.plan.Duration+min(extra, maxExtra) {
			w.cancel()
		}
	}
}

// openClient opens a registry behind a proxy. It retries until that succeeds or
// ctx ends.
func (w *runner) openClient(ctx context.Context, s Setting) *member {
	w.mu.Lock()
	w.opened[s.Proxy]++
	name := fmt.Sprintf("%s.%d", s.Proxy, w.opened[s.Proxy])
	w.mu.Unlock()
	for ctx.Err() == nil {
		backend, err := w.open(ctx, registry.RedisRegistryConfig{
			RedisAddr: w.proxies[s.Proxy].Addr(), TTL: s.TTL, HeartbeatInterval: s.Heartbeat, Logger: slog.New(slog.DiscardHandler),
			Observer: &registry.Observer{
				Superseded:   func(_, id string) { w.history.ReportLoss(name, id, false) },
				Deregistered: func(_, id string) { w.history.ReportLoss(name, id, true) },
			},
		})
		if err != nil {
			w.pause(ctx, 50*time.Millisecond)
			continue
		}
		m := &member{Backend: backend, client: w.history.OpenClient(name, s.TTL, s.Heartbeat)}
		w.mu.Lock()
		w.members[s.Proxy] = m
		w.mu.Unlock()
		return m
	}
	return nil
}

func (w *runner) member(proxy string) *member {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.members[proxy]
}

// token returns a token for a new registration.
func (w *runner) token() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens++
	return fmt.Sprintf("t%d", w.tokens)
}

// pause waits, and reports false when ctx ends first.
func (w *runner) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// injectServerFaults runs the faults of the server, on the test's goroutine.
func (w *runner) injectServerFaults() {
	for _, s := range w.plan.ServerFaults {
		if !w.pause(w.ctx, s.Wait) {
			return
		}
		w.history.RunFault(s.Kind, "", func() { w.serverFault(s) })
	}
}

func (w *runner) serverFault(s Step) {
	wait := func(d time.Duration) { w.pause(context.Background(), d) }
	switch s.Kind {
	case RestartEmpty, RestartAOF:
		w.server.Kill()
		if s.Kind == RestartEmpty {
			if err := os.RemoveAll(filepath.Join(w.server.Dir(), "appendonlydir")); err != nil {
				w.t.Fatal(err)
			}
		}
		wait(s.Span)
		w.server.Restart()
	case FlushAll:
		w.command("FLUSHALL")
	case RefuseWrites:
		w.command("CONFIG", "SET", "min-replicas-to-write", "1")
		wait(s.Span)
		w.command("CONFIG", "SET", "min-replicas-to-write", "0")
	case ScriptFlush:
		w.command("SCRIPT", "FLUSH")
	case Freeze:
		w.server.Freeze()
		wait(s.Span)
		w.server.Thaw()
	case CutAll, CutSubs:
		for end := time.Now().Add(s.Span); ; {
			if s.Kind == CutAll {
				w.server.CutAll()
			} else {
				w.server.CutSubscriptions()
			}
			if time.Now().After(end) {
				return
			}
			wait(150 * time.Millisecond)
		}
	}
}

func (w *runner) command(words ...any) {
	client := w.server.Client(w.t)
	defer client.Close()
	if err := client.Do(context.Background(), words...).Err(); err != nil {
		w.t.Fatal(err)
	}
}

// injectProxyFaults runs the faults of clients' connections.
func (w *runner) injectProxyFaults() {
	for _, s := range w.plan.ProxyFaults {
		if !w.pause(w.ctx, s.Wait) {
			return
		}
		proxy := w.proxies[s.Proxy]
		w.history.RunFault(s.Kind, s.Proxy, func() {
			switch s.Kind {
			case Hold:
				proxy.Hold()
			case Delay:
				proxy.Delay(faultnet.ToClient, s.Delay)
			case Truncate:
				proxy.CutReplyAfter(s.Bytes)
			case DropMessages:
				proxy.DropMessages()
			}
			for end := time.Now().Add(s.Span); time.Now().Before(end); {
				w.pause(context.Background(), min(300*time.Millisecond, time.Until(end)))
				if s.Kind == Truncate && time.Now().Before(end) {
					proxy.CutReplyAfter(s.Bytes)
				}
			}
			proxy.Heal()
		})
	}
}

// crashOwners closes owners without deregistering anything and opens new ones.
func (w *runner) crashOwners() {
	for _, s := range w.plan.Crashes {
		if !w.pause(w.ctx, s.Wait) {
			return
		}
		m := w.member(s.Proxy)
		w.mu.Lock()
		delete(w.members, s.Proxy)
		w.mu.Unlock()
		w.history.CloseClient(m.client, true, func() {
			if err := m.Close(); err != nil {
				w.t.Errorf("closing %s: %v", m.client.Name, err)
			}
		})
		if !w.pause(w.ctx, s.Span) {
			return
		}
		i := slices.IndexFunc(w.plan.Owners, func(o Setting) bool { return o.Proxy == s.Proxy })
		if w.openClient(w.ctx, w.plan.Owners[i]) == nil {
			return
		}
	}
}

// maxPingTime is for how long a plain PING may stay unanswered. More is a fault.
const maxPingTime = 250 * time.Millisecond

// canary sends PING to the server on a plain connection to measure when the
// server, or the machine, stalled.
func (w *runner) canary(ctx context.Context) {
	last := w.history.Now()
	var conn net.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for w.pause(ctx, 20*time.Millisecond) {
		if conn == nil {
			if c, err := net.DialTimeout("tcp", w.server.Addr(), second); err == nil {
				conn = c
			} else {
				continue
			}
		}
		_ = conn.SetDeadline(time.Now().Add(10 * second))
		_, err := conn.Write([]byte("PING\r\n"))
		if err == nil {
			_, err = bufio.NewReader(conn).ReadString('\n')
		}
		if err != nil {
			conn.Close()
			conn = nil
			continue
		}
		if now := w.history.Now(); now-last > maxPingTime {
			w.history.AddFault(Fault{Kind: Stall, Start: last, End: now})
		}
		last = w.history.Now()
	}
}
