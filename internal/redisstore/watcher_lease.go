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

// revNumber returns the part of a revision that grows. Acknowledged revisions are
// compared by it, which holds while Redis keeps its memory.
func revNumber(rev string) string {
	if n, _, ok := strings.Cut(rev, "."); ok {
		return n
	}
	return "0"
}

// RenewWatcherLeases implements store.WatcherLeases in one round trip. A call whose
// reply is missing when it returns has no effect after its deadline, and none once a
// later RenewWatcherLeases took effect.
func (s *Store) RenewWatcherLeases(ctx context.Context, leases []store.WatcherLease) []store.WatcherLeaseResult {
	results := make([]store.WatcherLeaseResult, len(leases))
	todo := make([]int, len(leases))
	for i := range todo {
		todo[i] = i
	}
	for range 2 { // the reply to a late call gave the present time
		if todo = s.sendWatcherLeases(ctx, leases, todo, results); len(todo) == 0 {
			break
		}
	}
	return results
}

// sendWatcherLeases sends some leases and sets their results. It returns those that
// arrived after their deadline.
func (s *Store) sendWatcherLeases(ctx context.Context, leases []store.WatcherLease, todo []int, results []store.WatcherLeaseResult) (late []int) {
	ops, tryUntil, mayStillRun := make([]*singleCall, len(todo)), deadlineOf(ctx), s.unansweredLeases.flag()
	for i, at := range todo {
		a := leases[at]
		ops[i] = &singleCall{ctx: ctx, done: make(chan struct{}), call: &call{
			script: watcherLeaseScript, keys: []string{s.keys.watchers(a.Service)},
			args:        []any{s.cfg.Owner, a.TTL.Milliseconds(), revNumber(a.Acknowledged), 0, s.nextSeq(), mayStillRun},
			deadlineArg: 3, service: a.Service, tryUntil: tryUntil,
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
			kept, _ := elementAt(o.call.reply, 2).(int64)
			results[at] = store.WatcherLeaseResult{Continued: kept == 1}
			if o.call.err != nil || o.call.sentTwice {
				s.unansweredLeases.note(tryUntil)
			}
			if o.call.err != nil {
				results[at].Err = s.watcherLeaseError(ctx, o.call.err)
			} else if s.tooLate(o.call) {
				results[at].Err = unavailable(errLate)
				late = append(late, at)
			}
		case <-ctx.Done():
			s.unansweredLeases.note(tryUntil)
			results[at].Err = ctx.Err()
		}
	}
	return late
}

// unansweredLeaseCalls remembers until when a call without a reply may still run, so
// that it does not undo later ones.
type unansweredLeaseCalls struct {
	mu       sync.Mutex
	runUntil time.Time
}

// note records that a call may still run until its deadline.
func (f *unansweredLeaseCalls) note(until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.runUntil.Before(until) {
		f.runUntil = until
	}
}

// flag returns the script's argument: 1 if an earlier call may still run, else 0.
func (f *unansweredLeaseCalls) flag() int {
	const clocks = 100 * time.Millisecond // by which two estimates of the server's clock may differ
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.runUntil.Add(clocks)) {
		return 1
	}
	return 0
}

func elementAt(reply []any, i int) any {
	if i < len(reply) {
		return reply[i]
	}
	return nil
}

// watcherLeaseError returns an error that says whether the server refused a lease.
func (s *Store) watcherLeaseError(ctx context.Context, err error) error {
	failed := s.callError(ctx, err)
	switch {
	case noPermission(err), redis.HasErrorPrefix(err, "WRONGTYPE"):
		return fmt.Errorf("%w: %w", store.ErrNoPermission, failed)
	case redis.HasErrorPrefix(err, "MISCONF"), redis.HasErrorPrefix(err, "NOREPLICAS"), redis.HasErrorPrefix(err, "OOM"):
		return fmt.Errorf("%w: %w", store.ErrWritesRefused, failed)
	}
	return failed
}

// LaggingWatchers implements store.WatcherLeases.
func (s *Store) LaggingWatchers(ctx context.Context, service, id, rev string) (store.Watchers, error) {
	c := &call{script: laggingWatchersScript, keys: []string{s.keys.watchers(service), s.keys.records(service)}, args: []any{revNumber(rev), id}}
	if err := s.callAndWait(ctx, c); err != nil {
		return store.Watchers{}, err
	}
	now, _ := strconv.ParseInt(text(c.reply, 0), 10, 64)
	count, ok := elementAt(c.reply, 1).(int64)
	kept, ok2 := elementAt(c.reply, 2).(int64)
	memoryLost, ok3 := elementAt(c.reply, 5).(int64)
	if !ok || !ok2 || !ok3 {
		return store.Watchers{}, unavailable(errReply)
	}
	w := store.Watchers{Lagging: int(count), RemembersRev: kept == 1, MemoryID: text(c.reply, 4), MemoryLostAgo: -1}
	if longest, err := strconv.ParseInt(text(c.reply, 3), 10, 64); err == nil {
		w.LongestLease = time.Duration(longest-now) * time.Microsecond
	}
	if since, err := strconv.ParseInt(w.MemoryID, 10, 64); err == nil && memoryLost == 1 {
		w.MemoryLostAgo = max(0, time.Duration(now-since)*time.Microsecond)
	}
	return w, nil
}
