package redisstore

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Mark implements store.Store. It is tried again, as the same call, until ctx
// ends or patience does.
func (s *Store) Mark(ctx context.Context, m store.Mark) (store.Marked, error) {
	seq := s.nextSeq()
	if !s.cluster || m.Group != "" {
		return s.mark(ctx, m, seq)
	}
	var marked store.Marked
	err := s.callWhereItIs(ctx, m.ID, func(group string) (existed bool, err error) {
		m.Group = group
		marked, err = s.mark(ctx, m, seq)
		return marked.Existed, err
	})
	return marked, err
}

// mark is the call of that number in a known group.
func (s *Store) mark(ctx context.Context, m store.Mark, seq uint64) (store.Marked, error) {
	give := until(ctx)
	for try := 0; ; try++ {
		c := &call{script: markScript, keys: s.ofInstance(m.Group, m.ID), due: 5, group: m.Group, give: give}
		c.args = []any{s.cfg.Owner, seq, m.Group, s.keys.prefix, m.ID, 0}
		for _, name := range slices.Sorted(maps.Keys(m.Set)) {
			c.args = append(c.args, name, m.Set[name])
		}
		err := s.write(ctx, c)
		if err == nil {
			s.learn(m.Group, c.reply)
			outcome := text(c.reply, 2)
			switch outcome {
			case "ok", "same", "none":
				marked := store.Marked{Existed: outcome != "none", Changed: outcome == "ok",
					Rev: text(c.reply, 1), Group: text(c.reply, 3)}
				if o := text(c.reply, 4); o != "" {
					marked.Overlay = []byte(o)
				}
				return marked, nil
			case "late":
				err = unavailable(errLate)
			default:
				err = unavailable(errReply)
			}
		}
		if !errors.Is(err, store.ErrUnavailable) || !passing(err) || !s.pause(ctx, give, try) {
			return store.Marked{}, err
		}
	}
}
