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

// opener opens a registry: the library's own or a broken one.
type opener func(ctx context.Context, cfg registry.RedisRegistryConfig) (registry.Backend, error)

func openReal(ctx context.Context, cfg registry.RedisRegistryConfig) (registry.Backend, error) {
	r, err := registry.NewRedisRegistry(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// world is a plan being carried out.
type world struct {
	t       *testing.T
	plan    *Plan
	history *History
	open    opener
	server  *redistest.Server
	lines   map[string]*faultnet.Proxy

	ctx    context.Context // ends with the plan
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	members map[string]*member // open clients, by line
	opened  map[string]int
	tokens  int
}

// member is an open client.
type member struct {
	registry.Backend
	client *Client
}

// carryOut runs a plan on real servers and returns what happened.
func carryOut(t *testing.T, plan *Plan, open opener) *History {
	w := &world{t: t, plan: plan, open: open, server: redistest.Start(t, redistest.WithAppendOnly()),
		lines: map[string]*faultnet.Proxy{}, members: map[string]*member{}, opened: map[string]int{}}
	settings := append(append([]Setting{}, plan.Owners...), plan.Readers...)
	for _, s := range settings {
		w.lines[s.Line] = faultnet.New(t, w.server.Addr())
	}
	w.history = NewHistory(plan.Seed)
	w.ctx, w.cancel = context.WithCancel(context.Background())
	defer w.cancel()
	w.wg.Go(w.measure)
	for _, s := range settings {
		if w.join(w.ctx, s) == nil {
			t.Fatalf("%s cannot open a registry on a healthy server", s.Line)
		}
	}
	canary, stop := context.WithCancel(context.Background())
	defer stop()
	w.wg.Go(func() { w.canary(canary) })
	for _, moves := range plan.Slots {
		w.wg.Go(func() { w.slot(moves) })
	}
	for i, s := range settings {
		w.wg.Go(func() { w.read(i, s.Line) })
	}
	for _, s := range plan.Readers {
		for _, service := range plan.Services {
			w.wg.Go(func() { w.watch(s.Line, service) })
		}
	}
	w.wg.Go(func() { w.follow(plan.Readers[0].Line) })
	w.wg.Go(func() { w.comeAndGo(plan.Readers[1].Line) })
	w.wg.Go(w.disturbLines)
	w.wg.Go(w.crash)
	w.disturbServer()
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

// mostExtra bounds by how much a plan lasts longer because the machine stood.
const mostExtra = 10 * second

// measure records the machine's stall and ends the plan when it has lasted for
// its duration and the stall, so that what has to happen had the time to.
func (w *world) measure() {
	begun := time.Now()
	from, last := begun, w.history.Now()
	var extra time.Duration
	for w.pause(w.ctx, 20*time.Millisecond) {
		to, now := time.Now(), w.history.Now()
		if stood := stall.Between(w.t, from, to); stood > 0 {
			w.history.Stalled(Stalled{From: last, To: now, For: stood})
			extra += stood
		}
		from, last = to, now
		if to.Sub(begun) > w.plan.Duration+min(extra, mostExtra) {
			w.cancel()
		}
	}
}

// join opens a registry on a line, trying until that succeeds or ctx ends.
func (w *world) join(ctx context.Context, s Setting) *member {
	w.mu.Lock()
	w.opened[s.Line]++
	name := fmt.Sprintf("%s.%d", s.Line, w.opened[s.Line])
	w.mu.Unlock()
	for ctx.Err() == nil {
		backend, err := w.open(ctx, registry.RedisRegistryConfig{
			RedisAddr: w.lines[s.Line].Addr(), TTL: s.TTL, HeartbeatInterval: s.Beat, Logger: slog.New(slog.DiscardHandler),
			Observer: &registry.Observer{
				Superseded:   func(_, id string) { w.history.Tell(name, id, false) },
				Deregistered: func(_, id string) { w.history.Tell(name, id, true) },
			},
		})
		if err != nil {
			w.pause(ctx, 50*time.Millisecond)
			continue
		}
		m := &member{Backend: backend, client: w.history.Open(name, s.TTL, s.Beat)}
		w.mu.Lock()
		w.members[s.Line] = m
		w.mu.Unlock()
		return m
	}
	return nil
}

func (w *world) member(line string) *member {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.members[line]
}

// token names a new registration.
func (w *world) token() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens++
	return fmt.Sprintf("t%d", w.tokens)
}

// pause waits, and reports false when ctx ends first.
func (w *world) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// disturbServer carries out the faults of the server, on the test's goroutine.
func (w *world) disturbServer() {
	for _, s := range w.plan.Server {
		if !w.pause(w.ctx, s.Wait) {
			return
		}
		w.history.Suffer(s.Kind, "", func() { w.serverFault(s) })
	}
}

func (w *world) serverFault(s Step) {
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

func (w *world) command(words ...any) {
	client := w.server.Client(w.t)
	defer client.Close()
	if err := client.Do(context.Background(), words...).Err(); err != nil {
		w.t.Fatal(err)
	}
}

// disturbLines carries out the faults of clients' lines.
func (w *world) disturbLines() {
	for _, s := range w.plan.Lines {
		if !w.pause(w.ctx, s.Wait) {
			return
		}
		line := w.lines[s.Line]
		w.history.Suffer(s.Kind, s.Line, func() {
			switch s.Kind {
			case Mute:
				line.Hold()
			case Delay:
				line.Delay(faultnet.ToClient, s.Delay)
			case Truncate:
				line.CutReplyAfter(s.Bytes)
			case DropMessages:
				line.DropMessages()
			}
			for end := time.Now().Add(s.Span); time.Now().Before(end); {
				w.pause(context.Background(), min(300*time.Millisecond, time.Until(end)))
				if s.Kind == Truncate && time.Now().Before(end) {
					line.CutReplyAfter(s.Bytes)
				}
			}
			line.Heal()
		})
	}
}

// crash closes owners without deregistering anything and opens new ones.
func (w *world) crash() {
	for _, s := range w.plan.Crashes {
		if !w.pause(w.ctx, s.Wait) {
			return
		}
		m := w.member(s.Line)
		w.mu.Lock()
		delete(w.members, s.Line)
		w.mu.Unlock()
		w.history.Close(m.client, true, func() {
			if err := m.Close(); err != nil {
				w.t.Errorf("closing %s: %v", m.client.Name, err)
			}
		})
		if !w.pause(w.ctx, s.Span) {
			return
		}
		i := slices.IndexFunc(w.plan.Owners, func(o Setting) bool { return o.Line == s.Line })
		if w.join(w.ctx, w.plan.Owners[i]) == nil {
			return
		}
	}
}

// stalled is how long a plain PING may go unanswered before that is a fault.
const stalled = 250 * time.Millisecond

// canary asks the server for signs of life on a plain connection, and so
// measures when it, or the machine that all of this runs on, stood still.
func (w *world) canary(ctx context.Context) {
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
		if now := w.history.Now(); now-last > stalled {
			w.history.Suffered(Fault{Kind: Stall, Start: last, End: now})
		}
		last = w.history.Now()
	}
}
