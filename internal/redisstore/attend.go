package redisstore

import (
	"context"
	"strings"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// revNumber is the part of a revision that grows: what a watcher took is
// compared by it, for as long as Redis keeps its memory.
func revNumber(rev string) string {
	if n, _, ok := strings.Cut(rev, "."); ok {
		return n
	}
	return "0"
}

// Attend implements store.Attending. All leases travel together. What is still
// under way when it returns does nothing: the next Attend may say otherwise.
func (s *Store) Attend(ctx context.Context, attendances []store.Attendance) error {
	late, err := s.attend(ctx, attendances)
	if len(late) > 0 { // the reply has told the time since
		var again error
		if late, again = s.attend(ctx, late); len(late) > 0 {
			again = unavailable(errLate)
		}
		if err == nil {
			err = again
		}
	}
	return err
}

// attend returns what came after its deadline and the last error.
func (s *Store) attend(ctx context.Context, attendances []store.Attendance) (late []store.Attendance, failed error) {
	ops, give := make([]*single, len(attendances)), until(ctx)
	for i, a := range attendances {
		ops[i] = &single{ctx: ctx, done: make(chan struct{}), call: &call{
			script: attendScript, keys: []string{s.keys.base(a.Group) + ":w"},
			args: []any{s.cfg.Owner, a.TTL.Milliseconds(), revNumber(a.Taken), 0}, due: 3, group: a.Group, give: give,
		}}
		if !s.writes.Add(ops[i]) {
			return nil, store.ErrClosed
		}
	}
	for i, o := range ops {
		select {
		case <-o.done:
			if o.call.err != nil {
				failed = s.failed(ctx, o.call.err)
			} else if s.late(o.call) {
				late = append(late, attendances[i])
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return late, failed
}

// Behind implements store.Attending.
func (s *Store) Behind(ctx context.Context, group, rev string) (behind int, kept bool, err error) {
	base := s.keys.base(group)
	c := &call{script: behindScript, keys: []string{base + ":w", base + ":h"}, args: []any{revNumber(rev)}}
	if err := s.write(ctx, c); err != nil {
		return 0, false, err
	}
	if len(c.reply) != 3 {
		return 0, false, unavailable(errReply)
	}
	count, ok := c.reply[1].(int64)
	since, ok2 := c.reply[2].(int64)
	if !ok || !ok2 {
		return 0, false, unavailable(errReply)
	}
	return int(count), since == 1, nil
}
