package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

// slack is the second that the contract adds to a TTL or a heartbeat.
const slack = time.Second

// config configures a registry on a server, in a namespace of the test.
func config(t testing.TB, s *redistest.Server, ttl, beat time.Duration) registry.RedisRegistryConfig {
	return registry.RedisRegistryConfig{
		RedisAddr: s.Addr(), TTL: ttl, HeartbeatInterval: beat, Namespace: t.Name(), Logger: slog.New(slog.DiscardHandler),
	}
}

// open opens a registry that is closed when the test ends.
func open(t testing.TB, cfg registry.RedisRegistryConfig) *registry.RedisRegistry {
	t.Helper()
	r, err := registry.NewRedisRegistry(context.Background(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// service is a valid registration.
func service(name, id string) registry.ServiceInfo {
	return registry.ServiceInfo{Name: name, ID: id, Address: "127.0.0.1", Port: 8080}
}

// register registers service(name, id) for each id.
func register(t testing.TB, r registry.Registry, name string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		err := retryStalled(t, shortHeartbeat, func() error { return r.Register(context.Background(), service(name, id)) })
		if err != nil {
			t.Fatalf("register %q in %q: %v", id, name, err)
		}
	}
}

// discover calls Discover with a timeout of one second.
func discover(r registry.Registry, name string) ([]registry.ServiceInfo, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return r.Discover(ctx, name)
}

// registered returns an instance as Discover shows it.
func registered(t testing.TB, r registry.Registry, name, id string) registry.ServiceInfo {
	t.Helper()
	all, err := discover(r, name)
	if err != nil {
		t.Fatalf("discover %q: %v", name, err)
	}
	for _, s := range all {
		if s.ID == id {
			return s
		}
	}
	t.Fatalf("%q is not in %q, only %q", id, name, idsOf(all))
	return registry.ServiceInfo{}
}

func idsOf(services []registry.ServiceInfo) []string {
	out := make([]string, len(services))
	for i, s := range services {
		out[i] = s.ID
	}
	slices.Sort(out)
	return out
}

// discovers fails unless Discover shows exactly these ids.
func discovers(r registry.Registry, name string, ids ...string) func() error {
	want := slices.Sorted(slices.Values(ids))
	return func() error {
		all, err := discover(r, name)
		if err != nil {
			return err
		}
		if got := idsOf(all); !slices.Equal(got, want) {
			return fmt.Errorf("Discover(%q) shows %s, want %s", name, brief(got), brief(want))
		}
		return nil
	}
}

// brief shortens long lists.
func brief(ids []string) string {
	if len(ids) > 20 {
		return fmt.Sprintf("%d instances", len(ids))
	}
	return fmt.Sprintf("%q", ids)
}

// observation is a snapshot that a watch yielded, and when.
type observation = waittest.Observation[registry.Snapshot]

// watchLog records a watch that runs in the background.
type watchLog struct {
	service string
	*waittest.Recording[registry.Snapshot]
}

// watch watches a service until the test ends. It returns when the first
// snapshot is there, or the watch has ended.
func watch(t testing.TB, w registry.Watcher, name string) *watchLog {
	t.Helper()
	s := &watchLog{service: name}
	s.Recording = waittest.Record(t, func(ctx context.Context) iter.Seq[registry.Snapshot] { return w.Watch(ctx, name) })
	select {
	case <-s.Started():
	case <-s.Done():
	case <-time.After(5 * time.Second):
		t.Fatalf("the watch of %q yielded nothing within 5 s", name)
	}
	return s
}

// last returns the newest snapshot.
func (s *watchLog) last() registry.Snapshot {
	last, ok := s.Last()
	if !ok {
		return registry.Snapshot{Service: s.service, Stale: errors.New("nothing was seen")}
	}
	return last.State
}

// since returns the states after from, and the one that was current then.
func (s *watchLog) since(from time.Time) []observation {
	all := s.All()
	first := 0
	for i, seen := range all {
		if !seen.At.After(from) {
			first = i
		}
	}
	return all[first:]
}

// shows fails unless the newest snapshot is current and has exactly these ids.
func (s *watchLog) shows(ids ...string) func() error {
	want := slices.Sorted(slices.Values(ids))
	return func() error {
		snap := s.last()
		switch got := idsOf(snap.Instances); {
		case s.Ended():
			return fmt.Errorf("the watch of %q has ended", s.service)
		case snap.Stale != nil:
			return fmt.Errorf("the watch of %q shows %s, stale: %w", s.service, brief(got), snap.Stale)
		case !slices.Equal(got, want):
			return fmt.Errorf("the watch of %q shows %s, want %s", s.service, brief(got), brief(want))
		}
		return nil
	}
}

// requireKept fails the test if any snapshot since from lacks one of the ids:
// nothing may be dropped without evidence. That an owner did not come back in
// time is evidence. A stalled machine can make an owner late, so one drop of each
// id is excused if the machine stalled for half of the time that the owner had,
// and if the newest snapshot shows the id again.
func (s *watchLog) requireKept(t testing.TB, from time.Time, ids ...string) {
	t.Helper()
	seen := s.since(from)
	lists := make([][]string, len(seen))
	for i, o := range seen {
		lists[i] = idsOf(o.State.Instances)
	}
	for _, id := range ids {
		shown, excused := true, false
		for i, o := range seen {
			_, has := slices.BinarySearch(lists[i], id)
			if dropped := shown && !has; dropped {
				late := o.At.Sub(from) >= retainedFor && wasStalled(t, retainedFor, o.At)
				if !late || excused {
					t.Fatalf("false empty: the watch of %q lacked %q %s after the fault began: %s, stale: %v", s.service, id,
						o.At.Sub(from).Round(time.Millisecond), brief(lists[i]), o.State.Stale)
				}
				excused = true
				t.Logf("count: drop of %q excused, as the machine stalled", id)
			}
			shown = has
		}
		if !shown {
			t.Fatalf("false empty: the watch of %q dropped %q on a stalled machine and does not show it again", s.service, id)
		}
	}
}

// requireNever fails the test if any snapshot after from has the id.
func (s *watchLog) requireNever(t testing.TB, from time.Time, id string) {
	t.Helper()
	for _, seen := range s.since(from) {
		if seen.At.After(from) && slices.Contains(idsOf(seen.State.Instances), id) {
			t.Fatalf("the watch of %q showed %q again %s after it went", s.service, id, seen.At.Sub(from).Round(time.Millisecond))
		}
	}
}

// logs collects a logger's output.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, nil))
}

// lines returns the lines that have all of the parts.
func (l *logs) lines(parts ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
next:
	for line := range strings.Lines(l.text.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		out = append(out, line)
	}
	return out
}
