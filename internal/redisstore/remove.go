package redisstore

import (
	"context"
	"errors"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Remove implements store.Store. It is tried again, as the same call, until
// ctx ends or patience does.
func (s *Store) Remove(ctx context.Context, r store.Removal) (store.RemoveResult, error) {
	if s.cluster && r.Service == "" {
		return s.removeAnywhere(ctx, r)
	}
	if r.Own {
		return s.remove(ctx, r.Service, r.ID, "own", r.RegisteredAt)
	}
	if r.Service == "" && store.IsGeneratedID(r.ID) {
		return s.removeLocated(ctx, r.ID) // no hint is kept of it
	}
	removed, err := s.remove(ctx, r.Service, r.ID, "any", 0)
	if err == nil && r.Service == "" && removed.Service == "" {
		return s.removeLocated(ctx, r.ID)
	}
	return removed, err
}

// removeLocated ends a record of which no hint tells where it is. Another
// registration of its ID under another name meanwhile comes after this call.
func (s *Store) removeLocated(ctx context.Context, id string) (store.RemoveResult, error) {
	group, err := s.locateOne(ctx, id)
	if err != nil || group == "" {
		return store.RemoveResult{}, err
	}
	return s.remove(ctx, group, id, "any", 0)
}

// remove ends a record in a group, or where its hint says when group is "" (only
// on a standalone server); the answer then names no group if the hint does not lead to it.
func (s *Store) remove(ctx context.Context, group, id, mode string, stamp int64) (store.RemoveResult, error) {
	return s.removeAs(ctx, s.cfg.Owner, s.nextSeq(), group, id, mode, stamp)
}

// removeAs is remove as a call of that owner and number.
func (s *Store) removeAs(ctx context.Context, owner string, seq uint64, group, id, mode string, stamp int64) (store.RemoveResult, error) {
	give := until(ctx)
	for try := 0; ; try++ {
		c := &call{script: removeScript, keys: s.ofInstance(group, id), due: 5, group: group, give: give}
		c.args = []any{owner, seq, group, s.keys.prefix, id, 0, mode, stamp}
		err := s.write(ctx, c)
		if err == nil {
			s.learn(group, c.reply)
			switch text(c.reply, 2) {
			case "done":
				return store.RemoveResult{Existed: true, Service: text(c.reply, 3)}, nil
			case "ok", "none":
				s.setKnown(group, "") // perhaps this owner's last there
				removed := store.RemoveResult{Existed: text(c.reply, 2) == "ok", Service: text(c.reply, 3)}
				if text(c.reply, 5) != "" {
					removed.Seq = seq
				}
				if s.cluster && removed.Existed && text(c.reply, 4) == "" {
					s.leaveCatalog(group)
				}
				return removed, nil
			case "late":
				err = unavailable(errLate)
			default:
				err = unavailable(errReply)
			}
		}
		if !errors.Is(err, store.ErrUnavailable) || !passing(err) || !s.pause(ctx, give, try) {
			return store.RemoveResult{}, err
		}
	}
}

// ofInstance are the keys of a script on one instance, in a group or, when
// group is "" (only on a standalone server), wherever it is.
func (s *Store) ofInstance(group, id string) []string {
	base := s.keys.base(group)
	keys := []string{base + ":h", base + ":z"}
	if group == "" {
		keys = []string{s.keys.names, s.keys.names}
	}
	if !s.cluster {
		keys = append(keys, s.keys.names, s.keys.hints(id))
	}
	return keys
}
