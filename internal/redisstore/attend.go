package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// revNumber is the part of a revision that grows: what a watcher acknowledged is
// compared by it, for as long as Redis keeps its memory.
func revNumber(rev string) string {
	if n, _, ok := strings.Cut(rev, "."); ok {
		return n
	}
	return "0"
}

// Attend implements store.Attending. All leases travel together. What is still
// under way when it returns does nothing after its deadline, and nothing once a
// later Attend has taken effect.
func (s *Store) RenewWatcherLeases(ctx context.Context, attendances []store.WatcherLease) []store.WatcherLeaseResult {
	results := make([]store.WatcherLeaseResult, len(attendances))
	todo := make([]int, len(attendances))
	for i := range todo {
		todo[i] = i
	}
	for range 2 { // the reply to a late call has told the time since
		if todo = s.attend(ctx, attendances, todo, results); len(todo) == 0 {
			break
		}
	}
	return results
}

// attend sends some and notes their results. It returns what came after its deadline.
func (s *Store) attend(ctx context.Context, attendances []store.WatcherLease, todo []int, results []store.WatcherLeaseResult) (late []int) {
	ops, give, unsure := make([]*single, len(todo)), until(ctx), s.attending.unsure()
	for i, at := range todo {
		a := attendances[at]
		ops[i] = &single{ctx: ctx, done: make(chan struct{}), call: &call{
			script: attendScript, keys: []string{s.keys.base(a.Service) + ":w"},
			args: []any{s.cfg.Owner, a.TTL.Milliseconds(), revNumber(a.Acknowledged), 0, s.nextSeq(), unsure},
			due:  3, group: a.Service, give: give,
		}}
		if !s.writes.Add(ops[i]) {
			results[at].Err = store.ErrClosed
			ops[i] = nil
		}
	}
	for i, o := range ops {
		if o == nil {
			continue
		}
		at := todo[i]
		select {
		case <-o.done:
			kept, _ := position(o.call.reply, 2).(int64)
			results[at] = store.WatcherLeaseResult{Continued: kept == 1}
			if o.call.err != nil || o.call.again {
				s.attending.note(give)
			}
			if o.call.err != nil {
				results[at].Err = s.attendFailed(ctx, o.call.err)
			} else if s.late(o.call) {
				results[at].Err = unavailable(errLate)
				late = append(late, at)
			}
		case <-ctx.Done():
			s.attending.note(give)
			results[at].Err = ctx.Err()
		}
	}
	return late
}

// attendFate remembers until when a call of which no answer came may still run,
// so that later ones are not undone by it.
type attendFate struct {
	mu    sync.Mutex
	until time.Time
}

// note says that a call may still run until its deadline.
func (f *attendFate) note(until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.until.Before(until) {
		f.until = until
	}
}

// unsure is the scripts' flag: 1 if an earlier call may still run, else 0.
func (f *attendFate) unsure() int {
	const clocks = 100 * time.Millisecond // between two estimates of the server's clock
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.until.Add(clocks)) {
		return 1
	}
	return 0
}

func position(reply []any, i int) any {
	if i < len(reply) {
		return reply[i]
	}
	return nil
}

// attendFailed words an error, and says whether the server has refused a lease.
func (s *Store) attendFailed(ctx context.Context, err error) error {
	failed := s.failed(ctx, err)
	switch {
	case noPermission(err), redis.HasErrorPrefix(err, "WRONGTYPE"):
		return fmt.Errorf("%w: %w", store.ErrNoPermission, failed)
	case redis.HasErrorPrefix(err, "MISCONF"), redis.HasErrorPrefix(err, "NOREPLICAS"), redis.HasErrorPrefix(err, "OOM"):
		return fmt.Errorf("%w: %w", store.ErrWritesRefused, failed)
	}
	return failed
}

// Behind implements store.Attending.
func (s *Store) LaggingWatchers(ctx context.Context, group, id, rev string) (store.Watchers, error) {
	base := s.keys.base(group)
	c := &call{script: behindScript, keys: []string{base + ":w", base + ":h"}, args: []any{revNumber(rev), id}}
	if err := s.write(ctx, c); err != nil {
		return store.Watchers{}, err
	}
	now, _ := strconv.ParseInt(text(c.reply, 0), 10, 64)
	count, ok := position(c.reply, 1).(int64)
	kept, ok2 := position(c.reply, 2).(int64)
	lost, ok3 := position(c.reply, 5).(int64)
	if !ok || !ok2 || !ok3 {
		return store.Watchers{}, unavailable(errReply)
	}
	w := store.Watchers{Lagging: int(count), RemembersRev: kept == 1, MemoryID: text(c.reply, 4), MemoryLostAgo: -1}
	if longest, err := strconv.ParseInt(text(c.reply, 3), 10, 64); err == nil {
		w.LongestLease = time.Duration(longest-now) * time.Microsecond
	}
	if since, err := strconv.ParseInt(w.MemoryID, 10, 64); err == nil && lost == 1 {
		w.MemoryLostAgo = max(0, time.Duration(now-since)*time.Microsecond)
	}
	return w, nil
}
